"""Averaging a box of pixels down by area, with exact shares of the pixels at its edges.

Pillow's BOX filter takes or leaves whole pixels; where the reduction is no whole number that picks
pixels instead of averaging them.
"""

import numpy as np
from numpy.typing import NDArray

from wsi.area import block_mean

Pixels = NDArray[np.uint8]

ROUNDING_PX = 1e-6
"""What level coordinates may be off by for the rounding of floats."""


def reduce_area(
    pixels: Pixels,
    offset: NDArray[np.float64],
    extent: NDArray[np.float64],
    width: int,
    height: int | None = None,
) -> Pixels:
    """Average the box at `offset` (x, y) of `extent` pixels down to `(height, width, 3)` by area.

    Pixels are returned as they are where the box is the whole array and nothing is to be reduced.
    """
    height = height or width
    rows, columns = pixels.shape[:2]
    off = max(np.abs(offset).max(), np.abs(extent - (columns, rows)).max())
    if off > ROUNDING_PX or rows % height or columns % width:
        return _average(pixels, offset, extent, (height, width))
    if (rows, columns) == (height, width):
        return pixels
    return block_mean(pixels, (columns // width, rows // height))


def _average(
    pixels: Pixels,
    offset: NDArray[np.float64],
    extent: NDArray[np.float64],
    shape: tuple[int, int],
) -> Pixels:
    """Average rows, then columns: `(h, w, 3)` to `(*shape, 3)`."""
    height, width = shape
    down = _shares(float(offset[1]), float(extent[1]), height, pixels.shape[0])
    across = _shares(float(offset[0]), float(extent[0]), width, pixels.shape[1])
    rows = down @ pixels.reshape(len(pixels), -1).astype(np.float32)
    columns = rows.reshape(height, -1, 3).swapaxes(0, 1)
    means = across @ np.ascontiguousarray(columns).reshape(pixels.shape[1], -1)
    rounded = (means + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(rounded.reshape(width, height, 3).swapaxes(0, 1))


def _shares(start: float, extent: float, count: int, length: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - scipy ships no types
    """Share of each of `length` pixels in each of `count` means, a sparse `(count, length)`."""
    from scipy.sparse import csr_array

    edges = start + extent / count * np.arange(count + 1)
    edges = np.clip(edges, 0, length)
    first = np.floor(edges[:-1]).astype(np.int64)
    reach = int(np.ceil(edges[1:] - first).max())
    cells = first[:, None] + np.arange(reach)
    lower = np.minimum(edges[1:, None], cells + 1)
    shares = np.clip(lower - np.maximum(edges[:-1, None], cells), 0, None)
    shares /= shares.sum(axis=1, keepdims=True)
    cells = np.minimum(cells, length - 1)
    ends = np.arange(0, cells.size + 1, reach)
    return csr_array((shares.ravel().astype(np.float32), cells.ravel(), ends), (count, length))
