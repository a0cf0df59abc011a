"""The pixels of patches: from native tiles, each decoded once, or from regions of the slide.

Positions are in pixels of the level that is read, `x, y`, and may be fractional.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiling.area import Pixels, reduce_area
from tiling.tiles import OK, RETRIED, UNREADABLE, DecodedTiles, covering
from wsi.errors import RegionError
from wsi.geometry import Point, Region, Size
from wsi.native import NativeTiles
from wsi.slide import Slide

TILE_BUDGET = 128 << 20
"""Bytes of decoded tiles that are held at a time."""

REGION_BUDGET = 4 << 20
"""Pixels that are read from a slide in one piece."""

ROW_BUDGET = 256 << 20
"""Bytes of decoded tiles that are held at a time where patches must come row by row."""


@dataclass(frozen=True)
class Footprint:
    """What one patch covers: `extent` in level pixels (x, y), `patch_px` output pixels a side.

    With `icc`, colours are those that the slide converts, which its native tiles do not have.
    """

    extent_x: float
    extent_y: float
    patch_px: int
    level: int
    downsample: float
    icc: bool = False

    @property
    def reduction(self) -> tuple[float, float]:
        """Level pixels per patch pixel along x and y."""
        return self.extent_x / self.patch_px, self.extent_y / self.patch_px


@dataclass(frozen=True)
class Cut:
    """One patch: its position among the origins asked for, its pixels, and how that went."""

    position: int
    pixels: Pixels
    status: int
    error: str = ""


def cut_patches(
    slide: Slide, footprint: Footprint, origins: NDArray[np.float64], *, by_row: bool = False
) -> Iterator[Cut]:
    """Give the pixels of every patch at `origins` `(n, 2)`, in whatever order is cheapest.

    With `by_row` they come row after row, each from left to right, which takes more memory; origins
    must be in that order.
    """
    native = None if footprint.icc else slide.native_tiles(footprint.level)
    if native is not None and not _too_wide(native, footprint):
        yield from _from_tiles(slide, native, footprint, origins, by_row=by_row)
        return
    for position, (x, y) in enumerate(origins):
        yield _from_region(slide, footprint, position, float(x), float(y))


def _too_wide(native: NativeTiles, footprint: Footprint) -> bool:
    scale = decode_reduction(native, footprint)
    tile = native.tile
    columns = footprint.extent_x / tile.width + 2
    rows = footprint.extent_y / tile.height + 2
    return columns * rows * tile.area * 3 / scale**2 > TILE_BUDGET


def decode_reduction(native: NativeTiles, footprint: Footprint) -> int:
    """Find the largest reduction that tiles can be decoded at without enlarging afterwards."""
    limit = min(footprint.reduction) + 1e-9
    tile = native.tile
    fitting = [
        r for r in native.reductions if r <= limit and tile.width % r == 0 and tile.height % r == 0
    ]
    return max(fitting)


def _from_tiles(
    slide: Slide,
    native: NativeTiles,
    footprint: Footprint,
    origins: NDArray[np.float64],
    *,
    by_row: bool,
) -> Iterator[Cut]:
    scale = decode_reduction(native, footprint)
    tiles = DecodedTiles(slide, native, scale)
    extent = np.array([footprint.extent_x, footprint.extent_y])
    for batch in batches(origins, extent, native.tile, scale, by_row=by_row):
        boxes = {int(i): covering(origins[i] / scale, extent / scale) for i in batch}
        cells = {i: tiles.cells(box) for i, box in boxes.items()}
        tiles.hold({cell for wanted in cells.values() for cell in wanted})
        for i, box in boxes.items():
            pixels = tiles.assemble(box)
            status, error = tiles.state(cells[i])
            offset = origins[i] / scale - box[:2]
            pixels = reduce_area(pixels, offset, extent / scale, footprint.patch_px)
            if status == UNREADABLE:
                pixels = white(footprint.patch_px)
            yield Cut(i, pixels, status, error)


def batches(
    origins: NDArray[np.float64],
    extent: NDArray[np.float64],
    tile: Size,
    scale: int,
    *,
    by_row: bool = False,
) -> list[NDArray[np.int64]]:
    """Group patches that are cut from the same rows of tiles, in bands that bound the memory.

    Patches of one row are cut together and rows follow each other, so that each tile is decoded
    once per band; a band is as wide as `TILE_BUDGET` allows. With `by_row` a band is as wide as
    `ROW_BUDGET` allows, and where that is not the whole row, tiles are decoded for every row.
    """
    if len(origins) == 0:
        return []
    rows_held = extent[1] / tile.height + 2
    bytes_per_px = rows_held * tile.height * 3 / scale**2
    budget = ROW_BUDGET if by_row else TILE_BUDGET
    width = max(extent[0], budget / bytes_per_px - extent[0] - 2 * tile.width)
    band = (origins[:, 0] // width).astype(np.int64)
    first = (band, origins[:, 1]) if by_row else (origins[:, 1], band)
    order = np.lexsort((origins[:, 0], *first))
    changes = (np.diff(band[order]) != 0) | (np.diff(origins[order, 1]) != 0)
    return np.split(order, np.flatnonzero(changes) + 1)


def _from_region(slide: Slide, footprint: Footprint, position: int, x: float, y: float) -> Cut:
    before = slide.retries
    try:
        pixels = read_reduced(slide, footprint, (x, y), footprint.patch_px, footprint.patch_px)
    except RegionError as err:
        return Cut(position, white(footprint.patch_px), UNREADABLE, str(err))
    return Cut(position, pixels, RETRIED if slide.retries > before else OK)


def read_reduced(
    slide: Slide, footprint: Footprint, origin: tuple[float, float], width: int, height: int
) -> Pixels:
    """Read `(height, width, 3)` output pixels from `origin`, in pieces that bound the memory."""
    rx, ry = footprint.reduction
    if width * rx * height * ry > REGION_BUDGET and max(width, height) > 1:
        return _read_halves(slide, footprint, origin, width, height)
    extent = np.array([width * rx, height * ry])
    left, top, right, bottom = covering(np.array(origin), extent)
    location = Point(round(left * footprint.downsample), round(top * footprint.downsample))
    region = Region(location, footprint.level, Size(right - left, bottom - top))
    offset = np.array(origin) - (left, top)
    return reduce_area(slide.read_region(region), offset, extent, width, height)


def _read_halves(
    slide: Slide, footprint: Footprint, origin: tuple[float, float], width: int, height: int
) -> Pixels:
    rx, ry = footprint.reduction
    x, y = origin
    if width >= height:
        half = width // 2
        first = read_reduced(slide, footprint, origin, half, height)
        rest = read_reduced(slide, footprint, (x + half * rx, y), width - half, height)
        return np.concatenate([first, rest], axis=1)
    half = height // 2
    first = read_reduced(slide, footprint, origin, width, half)
    rest = read_reduced(slide, footprint, (x, y + half * ry), width, height - half)
    return np.concatenate([first, rest], axis=0)


def white(patch_px: int) -> Pixels:
    """A patch that shows nothing, `(P, P, 3)`."""
    return np.full((patch_px, patch_px, 3), 255, np.uint8)
