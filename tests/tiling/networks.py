"""A small convolutional network as a plain function of pixels, and a map made with it."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tiling.mapplan import MapPlan
from tiling.mapwriter import MapWriter
from tiling.stitching import Layout
from tiling.tissuemap import Legend
from tiling.windows import MapFrame, WindowGrid
from wsi.geometry import Mpp

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

REACH_PX = 12
"""How far the network looks: two kernels of 13 x 13 px."""
LEGEND = Legend(("nuclei", "stroma", "glass"), ((200, 0, 0), (0, 160, 0), (230, 230, 230)))
KERNEL = np.hanning(15)[1:-1] / np.hanning(15).sum()


def blur(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One convolution with zeros outside, as networks pad."""
    once = ndimage.convolve1d(plane, KERNEL, axis=-1, mode="constant")
    return ndimage.convolve1d(once, KERNEL, axis=-2, mode="constant")


def network(pixels: Pixels) -> Floats:
    """Probabilities (3, h, w) of pixels (h, w, 3): convolution, ReLU, convolution, softmax."""
    image = np.moveaxis(pixels.astype(np.float32) / 255, -1, 0)
    features = np.maximum(blur(0.9 - image), 0)
    red, green, blue = blur(features)
    logits = np.stack([30 * (red + green) - 20, 10 * (green + blue) - 3, 1 - 20 * green])
    shares = np.exp(logits - logits.max(axis=0))
    return np.asarray(shares / shares.sum(axis=0), np.float32)


def window_of(pixels: Pixels, grid: WindowGrid, index: int) -> Pixels:
    """A window's pixels, white beyond the picture."""
    ((x, y),) = grid.corners(np.array([index]))
    found = np.full((grid.window_px, grid.window_px, 3), 255, np.uint8)
    part = pixels[y : y + grid.window_px, x : x + grid.window_px]
    found[: part.shape[0], : part.shape[1]] = part
    return found


def plan_over(
    height: int, width: int, window_px: int = 96, overlap_px: int = 24, **changes: Any
) -> MapPlan:
    """A map of the three classes, 2 level-0 px per pixel from (100, 50), 0.5 um/px."""
    grid = WindowGrid(height, width, window_px, overlap_px)
    frame = MapFrame(height, width, 100.0, 50.0, 2.0, 2.0, Mpp(0.5, 0.5))
    layout = Layout(grid, 3, changes.pop("mask", None), changes.pop("ramp", "cosine"))
    return MapPlan(LEGEND, frame, layout, changes.pop("model", {"name": "toy"}), **changes)


def fill(
    writer: MapWriter, grid: WindowGrid, pixels: Pixels, order: Iterable[int] | None = None
) -> None:
    """Give a writer its windows, in the order wanted unless told otherwise."""
    for index in list(writer.todo) if order is None else order:
        writer.add(index, network(window_of(pixels, grid, index)))


def counted(call: Callable[[Pixels], Floats], seen: list[int]) -> Callable[[Pixels], Floats]:
    """The same network, which notes the pixels that it sees."""

    def counting(pixels: Pixels) -> Floats:
        seen.append(pixels.shape[0] * pixels.shape[1])
        return call(pixels)

    return counting
