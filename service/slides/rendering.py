"""Pixels of Deep Zoom tiles: copied, put together from native tiles, read, or cut out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from service.errors import TooLargeError
from service.slides.pyramid import LARGEST_STEP, Origin, Pyramid
from wsi import Point, Region, RegionError, Size, Slide
from wsi.area import block_mean
from wsi.color import Pixels
from wsi.native import NativeTiles

QUALITY = 85
"""Of a rendered JPEG; the colour has half the resolution, as in most slides."""
BAND_PX = 16 << 20
"""Pixels that are read at once."""
MOST_EXACT = 8
"""Pixels of a level per pixel of the overview, up to which it is made of tiles."""
REDUCTIONS = (8, 4, 2, 1)

How: TypeAlias = Literal["copied", "rendered"]


@dataclass(frozen=True)
class Address:
    """A Deep Zoom tile that exists."""

    level: int
    column: int
    row: int


def encode_jpeg(pixels: Pixels) -> bytes:
    """Encode u1 (h, w, 3)."""
    import simplejpeg

    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), QUALITY, "RGB", colorsubsampling="420"
    )
    return data


def is_copied(pyramid: Pyramid, native: NativeTiles, at: Address) -> bool:
    """Whether the file's own JPEG shows just this tile."""
    origin, side = pyramid.origins[at.level], pyramid.zoom.tile_px
    if origin.step != 1 or not origin.is_grid or native.codec != "jpeg" or not native.standalone:
        return False
    size, shown = origin.level.size, pyramid.size_of(at.level, at.column, at.row)
    is_whole = (at.column + 1) * side <= size.width and (at.row + 1) * side <= size.height
    return is_whole and shown == Size(side, side)


def copy_tile(slide: Slide, pyramid: Pyramid, at: Address) -> bytes | None:
    """Give the file's own JPEG of a tile; None where it has none that shows just this."""
    native = slide.native_tiles(pyramid.origins[at.level].level.index)
    if native is None or not is_copied(pyramid, native, at):
        return None
    return native.read(at.column, at.row)


def render_tile(slide: Slide, pyramid: Pyramid, at: Address) -> Pixels:
    """Make a tile's pixels, u1 (h, w, 3), from the level that it comes from.

    Raises:
        RegionError: they cannot be read.
        TooLargeError: too many pixels would have to be read, because levels are missing.
    """
    origin, shown = pyramid.origins[at.level], pyramid.size_of(at.level, at.column, at.row)
    if origin.step is None:
        pixels = _resized(slide, pyramid, at)
    else:
        _require_step(origin.step)
        found = _from_native(slide, pyramid, at)
        side = pyramid.zoom.tile_px
        pixels = _from_regions(slide, side, origin, at) if found is None else found
    return _fitted(pixels, shown)


def cut_overview(overview: Pixels, pyramid: Pyramid, at: Address) -> Pixels:
    """Cut a tile of a coarse level from the picture of the whole slide."""
    factor = 1 << (pyramid.overview - at.level)
    shown, side = pyramid.size_of(at.level, at.column, at.row), pyramid.zoom.tile_px
    top, left = at.row * side * factor, at.column * side * factor
    part = overview[top : top + shown.height * factor, left : left + shown.width * factor]
    return _fitted(block_mean(np.ascontiguousarray(part), factor), shown)


def read_overview(slide: Slide, pyramid: Pyramid) -> Pixels:
    """Make the picture of the whole slide that coarse levels are cut from."""
    level = pyramid.overview
    step, size = pyramid.origins[level].step, pyramid.zoom.level_size(level)
    if step is None or step > MOST_EXACT:
        # Up to one of at most 1,024 px off at the far edge, but by far quicker.
        return _fitted(slide.thumbnail(max(size.width, size.height)), size)
    count = pyramid.zoom.tile_count(level)
    rows = [
        [render_tile(slide, pyramid, Address(level, column, row)) for column in range(count.width)]
        for row in range(count.height)
    ]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _require_step(step: int) -> None:
    if step > LARGEST_STEP:
        raise TooLargeError("the slide has no level that is coarse enough for this tile")


def _fitted(pixels: Pixels, shown: Size) -> Pixels:
    """Cut, or repeat the last pixels of a level whose sides were rounded down."""
    pixels = pixels[: shown.height, : shown.width]
    missing = (shown.height - pixels.shape[0], shown.width - pixels.shape[1])
    if missing == (0, 0):
        return pixels
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")


def _from_native(slide: Slide, pyramid: Pyramid, at: Address) -> Pixels | None:
    """Put native tiles together, reduced while they are decoded; None where that cannot be."""
    origin, side = pyramid.origins[at.level], pyramid.zoom.tile_px
    native = slide.native_tiles(origin.level.index) if origin.is_grid else None
    step = origin.step or 1
    if native is None or side % step or not _is_clear(origin, side, at):
        return None
    by = next(n for n in REDUCTIONS if step % n == 0 and n in native.reductions)
    if step > 1 and by == 1:
        return None  # nothing is won over reading the region
    rows = range(at.row * step, min((at.row + 1) * step, native.rows))
    columns = range(at.column * step, min((at.column + 1) * step, native.columns))
    try:
        bands = [block_mean(_native_band(native, columns, row, by), step // by) for row in rows]
    except RegionError:
        return None  # the reader may show what a tile alone does not
    if not bands or not columns:
        return None
    # Behind the level's edge a native tile shows anything.
    right, bottom = origin.level.size.width, origin.level.size.height
    width = -(-(right - columns.start * side) // step)
    return np.concatenate(bands)[: -(-(bottom - rows.start * side) // step), :width]


def _is_clear(origin: Origin, side: int, at: Address) -> bool:
    """Whether no pixel of the tile would mix the level with what lies behind its edge."""
    step, size = origin.step or 1, origin.level.size
    ends = ((at.column + 1) * side * step, (at.row + 1) * side * step)
    sides = (size.width, size.height)
    return all(end <= px or px % step == 0 for end, px in zip(ends, sides, strict=True))


def _native_band(native: NativeTiles, columns: range, row: int, by: int) -> Pixels:
    """Decode tiles of one row; RegionError where one is absent or damaged."""
    parts = []
    for data in native.read_many([(column, row) for column in columns]):
        if not isinstance(data, bytes):
            raise RegionError("an absent or damaged tile") from data
        parts.append(native.decode(data, by))
    return np.concatenate(parts, axis=1)


def _from_regions(slide: Slide, side: int, origin: Origin, at: Address) -> Pixels:
    """Read the tile's part of a level in bands, and reduce each."""
    step, size = origin.step or 1, origin.level.size
    # A level whose sides were rounded down may end where the last tile begins.
    left = min(at.column * side * step, size.width - 1)
    top = min(at.row * side * step, size.height - 1)
    width, height = min(side * step, size.width - left), min(side * step, size.height - top)
    bands = [
        block_mean(_read(slide, origin, left, start, Size(width, rows)), step)
        for start, rows in _bands(top, height, max(1, BAND_PX // (width * step)) * step)
    ]
    return np.concatenate(bands)


def _bands(top: int, height: int, most: int) -> Iterator[tuple[int, int]]:
    for start in range(top, top + height, most):
        yield start, min(most, top + height - start)


def _read(slide: Slide, origin: Origin, left: int, top: int, size: Size) -> Pixels:
    """Read pixels of a level by their place in it."""
    downsample = origin.level.downsample
    location = Point(round(left * downsample), round(top * downsample))
    return slide.read_region(Region(location, origin.level.index, size))


def _resized(slide: Slide, pyramid: Pyramid, at: Address) -> Pixels:
    """Read the region of a level that is no power of two away, and scale it."""
    from PIL import Image

    tile = pyramid.zoom.tile(at.level, at.column, at.row, pyramid.levels)
    if tile.region.size.area > BAND_PX:
        raise TooLargeError("the slide has no level that is coarse enough for this tile")
    pixels = slide.read_region(tile.region)
    size = (tile.size.width, tile.size.height)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
