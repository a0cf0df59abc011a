"""The Deep Zoom pyramid of a slide: tiles of the file's own size, and where each level comes from.

Pure arithmetic on what is known of a slide; reads no pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wsi import DeepZoom, Level, Size, Slide
from wsi.native import NativeTiles

USUAL_TILE_PX = 256
TILE_PX = range(128, 1025)
"""Sides of native tiles that a viewer may be given as they are."""
OVERVIEW_PX = 1024
"""Levels that fit into this are made from one picture of the whole slide."""
LARGEST_STEP = 256
"""Pixels of the finest usable level per pixel of a tile, along one axis, that are still read."""
SLACK = 0.002
"""A level whose sides were rounded down is this much off a power of two at most."""


@dataclass(frozen=True)
class Origin:
    """Where a Deep Zoom level comes from.

    Attributes:
        level: of the slide.
        step: pixels of that level per pixel of the Deep Zoom level, along each axis; None where
            that is no whole number.
        is_grid: whether a tile covers step x step native tiles exactly.
    """

    level: Level
    step: int | None
    is_grid: bool


@dataclass(frozen=True)
class Pyramid:
    """Deep Zoom levels of a slide, coarsest first.

    Attributes:
        zoom: the addresses.
        levels: of the slide.
        origins: one for each Deep Zoom level.
        overview: the Deep Zoom level that is made as one picture, and from which those below are.
    """

    zoom: DeepZoom
    levels: tuple[Level, ...]
    origins: tuple[Origin, ...]
    overview: int

    def size_of(self, level: int, column: int, row: int) -> Size:
        """Width and height of a tile, px."""
        size, side = self.zoom.level_size(level), self.zoom.tile_px
        return Size(min(side, size.width - side * column), min(side, size.height - side * row))

    def has(self, level: int, column: int, row: int) -> bool:
        """Whether there is such a tile."""
        if not 0 <= level < self.zoom.level_count:
            return False
        count = self.zoom.tile_count(level)
        return 0 <= column < count.width and 0 <= row < count.height

    def is_from_overview(self, level: int) -> bool:
        """Whether a level is cut from the picture of the whole slide."""
        return level <= self.overview and self.origins[level].step != 1


def make_pyramid(slide: Slide) -> Pyramid:
    """Look at a slide's levels and native tiles."""
    natives = [slide.native_tiles(level.index) for level in slide.levels]
    zoom = DeepZoom(slide.size, _tile_px(natives[0]), overlap=0)
    grids = [_is_grid(native, zoom.tile_px) for native in natives]
    steps = [nominal_downsample(slide.size, level) for level in slide.levels]
    origins = tuple(
        _origin(slide.levels, steps, grids, zoom.downsample(level))
        for level in range(zoom.level_count)
    )
    sizes = (zoom.level_size(level) for level in range(zoom.level_count))
    small = [max(size.width, size.height) <= OVERVIEW_PX for size in sizes]
    return Pyramid(zoom, slide.levels, origins, overview=sum(small) - 1)


def nominal_downsample(base: Size, level: Level) -> int | None:
    """Give the power of two that a level was reduced by, None where it was another number.

    Scanners round sides down, so that a level of a slide of 4443 px has 2221 px, and OpenSlide
    says 2.0005. Its pixels are still means of 2 x 2 pixels of level 0, only the last is missing.
    """
    power = 1 << max(0, round(level.downsample) - 1).bit_length()
    if abs(level.downsample / power - 1) > SLACK:
        return None
    sides = ((base.width, level.size.width), (base.height, level.size.height))
    return power if all(0 <= -(-whole // power) - side <= 1 for whole, side in sides) else None


def _tile_px(native: NativeTiles | None) -> int:
    if native is None or native.tile.width != native.tile.height:
        return USUAL_TILE_PX
    return native.tile.width if native.tile.width in TILE_PX else USUAL_TILE_PX


def _is_grid(native: NativeTiles | None, tile_px: int) -> bool:
    return native is not None and native.tile == Size(tile_px, tile_px)


def _origin(
    levels: Sequence[Level], steps: Sequence[int | None], grids: Sequence[bool], downsample: int
) -> Origin:
    """Choose the coarsest level that is not coarser than asked."""
    fine = [i for i, level in enumerate(levels) if (steps[i] or level.downsample) <= downsample]
    index = fine[-1] if fine else 0
    nominal = steps[index]
    if nominal is None:
        return Origin(levels[index], None, is_grid=False)
    return Origin(levels[index], downsample // nominal, grids[index])
