"""When the slide's own tiles can be stored as they are, and which tile is which patch."""

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import COPIED, JPEG, JPEG2K, Encoding, parse_encoding
from tiling.grid import Grid, Resolution
from wsi.native import NativeTiles

AUTO = "jpeg:95"
_CODECS = {"jpeg": JPEG, "jpeg2k": JPEG2K}


def choose_encoding(
    native: NativeTiles | None,
    grid: Grid,
    resolution: Resolution,
    indices: NDArray[np.int64],
    *,
    wanted: str,
    icc: bool = False,
) -> Encoding:
    """Decide how patches are stored, and say why.

    `auto` and `lossless` copy the slide's tiles where that is possible: nothing loses less. What
    was asked for by name, `jpeg:Q` or `raw`, is done as asked.
    """
    if wanted not in ("auto", "lossless"):
        return parse_encoding(wanted, "as asked")
    obstacle = why_not_copy(native, grid, resolution, indices, icc=icc)
    if native is not None and obstacle is None:
        reason = f"patches are the slide's own {_tile(native)} tiles"
        return Encoding(_CODECS[native.codec], (), COPIED, reason)
    return parse_encoding(AUTO if wanted == "auto" else "lossless", f"{obstacle}")


def why_not_copy(
    native: NativeTiles | None,
    grid: Grid,
    resolution: Resolution,
    indices: NDArray[np.int64],
    *,
    icc: bool = False,
) -> str | None:
    """Say what stands against copying tiles; None where nothing does."""
    if native is None:
        return "the slide has no JPEG or JPEG 2000 tiles at this level"
    if not resolution.unscaled:
        reduction = _sides(resolution.reduction_x, resolution.reduction_y)
        return f"pixels are reduced {reduction} x to reach the requested mpp"
    if icc:
        return "colours are converted to sRGB"
    if not native.standalone:
        return "the slide's tiles need a colour conversion that no reader would know of"
    return _why_off_grid(native, grid, indices)


def _why_off_grid(native: NativeTiles, grid: Grid, indices: NDArray[np.int64]) -> str | None:
    tile = native.tile
    if (grid.extent_x, grid.extent_y) != (tile.width, tile.height):
        extent = _sides(grid.extent_x, grid.extent_y)
        return f"patches of {extent} px are not the slide's tiles of {_tile(native)}"
    if grid.step_x % tile.width or grid.step_y % tile.height:
        return f"the stride is no multiple of the slide's tiles of {_tile(native)}"
    if grid.origin_x % tile.width or grid.origin_y % tile.height:
        return "the slide's bounds do not begin on its tile grid"
    if not _all_inside(native, grid, indices):
        return "patches that hang over the edge are padded white"
    return None


def _tile(native: NativeTiles) -> str:
    return f"{_sides(native.tile.width, native.tile.height)} px"


def _sides(x: float, y: float) -> str:
    return f"{x:.4g}" if x == y else f"{x:.4g} x {y:.4g}"


def _all_inside(native: NativeTiles, grid: Grid, indices: NDArray[np.int64]) -> bool:
    ends = grid.origins(indices) + np.array([grid.extent_x, grid.extent_y])
    return bool((ends <= (native.size.width, native.size.height)).all())


def tile_cells(native: NativeTiles, grid: Grid, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row-major numbers `(n,)` of the native tiles that are the patches at `indices`."""
    tile = np.array([native.tile.width, native.tile.height])
    cells = (grid.origins(indices) // tile).astype(np.int64)
    numbers: NDArray[np.int64] = cells[:, 1] * native.columns + cells[:, 0]
    return numbers
