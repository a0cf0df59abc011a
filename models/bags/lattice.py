"""Where the patches of a slide lie as pixels of a map: one pixel per stride, centred on its patch.

Patches that overlap keep the part around their centre, so that pixels never overlap and areas add
up; patches with gaps between them stand for half of the gap on each side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bags.patches import Pair, Patches
from models.errors import DataError
from tiling.grid import Grid
from tiling.windows import MapFrame
from wsi.geometry import Mpp

ROUNDING_PX = 1.0
"""What a stored corner may be off its place on a grid of fractional strides, in level-0 pixels."""
SMALLEST_STRIDE = 1 / 8
"""Of a patch's side: corners of imported patches that lie closer than this are on no grid."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Lattice:
    """A map of one pixel per patch.

    Attributes:
        frame: where it lies on the slide.
        row_col: pixel of each patch, `(n, 2)`; no two are the same.
    """

    frame: MapFrame
    row_col: Numbers


@dataclass(frozen=True)
class _Placed:
    """Corners of pixels before they are centred: all in level-0 pixels, x then y."""

    origin: Pair
    step: Pair
    shape: tuple[int, int]
    row_col: Numbers


def lay_lattice(patches: Patches) -> Lattice:
    """Find the grid of a slide's patches, also where it was imported with positions.

    Raises:
        DataError: there is no patch, nobody knows where they lie or how large a pixel is, or they
            lie on no grid.
    """
    if not len(patches):
        raise DataError(f"{patches.slide_id} has no readable patch")
    if patches.mpp0 is None:
        raise DataError(
            f"{patches.slide_id} has no microns per pixel, and its map would have no area; import "
            "its patches with their resolution"
        )
    placed = _of_grid(patches) if patches.attributes.get("grid") else _of_corners(patches)
    margin = [(p - s) / 2 for p, s in zip(patches.level0_patch, placed.step, strict=True)]
    frame = MapFrame(
        height_px=placed.shape[0],
        width_px=placed.shape[1],
        level0_x=placed.origin[0] + margin[0],
        level0_y=placed.origin[1] + margin[1],
        level0_step_x=placed.step[0],
        level0_step_y=placed.step[1],
        mpp=Mpp(patches.mpp0[0] * placed.step[0], patches.mpp0[1] * placed.step[1]),
    )
    return Lattice(frame, placed.row_col)


def _of_grid(patches: Patches) -> _Placed:
    grid = Grid(**patches.attributes["grid"])
    down = grid.downsample
    return _Placed(
        origin=(grid.origin_x * down, grid.origin_y * down),
        step=(grid.step_x * down, grid.step_y * down),
        shape=(grid.rows, grid.columns),
        row_col=patches.row_col.astype(np.int64),
    )


def _of_corners(patches: Patches) -> _Placed:
    """Take the recorded stride of imported patches, or else the distance of neighbours."""
    if (patches.attributes.get("import") or {}).get("coords") == "made up":
        raise DataError(
            f"nobody knows where the patches of {patches.slide_id} lie; import them with x and y"
        )
    corners = patches.coords.astype(np.float64)
    origin = corners.min(axis=0)
    nearest = [_nearest(axis) for axis in corners.T]
    usual = patches.level0_stride
    own = tuple(found or stride for found, stride in zip(nearest, usual, strict=True))
    least = [SMALLEST_STRIDE * side for side in patches.level0_patch]
    for step in (usual, (own[0], own[1])):
        row_col = np.rint((corners - origin) / step)[:, ::-1].astype(np.int64)
        off = np.abs(origin + row_col[:, ::-1] * step - corners).max()
        fits = off <= ROUNDING_PX and min(np.subtract(step, least)) >= 0
        if fits and len(np.unique(row_col, axis=0)) == len(row_col):
            rows, columns = (row_col.max(axis=0) + 1).tolist()
            return _Placed((origin[0], origin[1]), step, (rows, columns), row_col)
    raise DataError(
        f"the patches of {patches.slide_id} lie on no regular grid, of which a map is made; cut "
        "the slide with microtome tile"
    )


def _nearest(values: NDArray[np.float64]) -> float | None:
    """Mean distance of neighbours, whole pixels that were rounded; None where all are equal."""
    distances = np.diff(np.unique(values))
    return float(distances[distances < 1.5 * distances.min()].mean()) if len(distances) else None
