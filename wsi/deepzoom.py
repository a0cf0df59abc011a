"""Deep Zoom addresses (level, column, row) to regions of a slide. Pure arithmetic; reads nothing.

Deep Zoom level 0 is 1 x 1 px, the last one is level 0 of the slide; each doubles the one
before. The arithmetic is that of OpenSlide, so that viewers see the same tiles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Literal

from wsi.errors import InvalidRequestError
from wsi.geometry import Level, Point, Region, Size

NAMESPACE = "http://schemas.microsoft.com/deepzoom/2008"


@dataclass(frozen=True, slots=True)
class DeepZoomTile:
    """What to read for one Deep Zoom tile, and the size in px to reduce it to."""

    region: Region
    size: Size


@dataclass(frozen=True)
class DeepZoom:
    """The pyramid of a slide.

    Args:
        size: the slide at level 0, px.
        tile_px: side of a tile without its overlap.
        overlap: px that a tile shows of each neighbour.
    """

    size: Size
    tile_px: int = 254
    overlap: int = 1

    def __post_init__(self) -> None:
        """Refuse an empty slide, an empty tile and a negative overlap."""
        if self.size.area < 1 or self.tile_px < 1 or self.overlap < 0:
            raise InvalidRequestError(f"an empty slide or tile, or a negative overlap: {self}")

    @cached_property
    def _sizes(self) -> tuple[Size, ...]:
        sizes = [self.size]
        while sizes[-1].width > 1 or sizes[-1].height > 1:
            last = sizes[-1]
            sizes.append(Size(math.ceil(last.width / 2), math.ceil(last.height / 2)))
        return tuple(reversed(sizes))

    @property
    def level_count(self) -> int:
        """How many Deep Zoom levels there are."""
        return len(self._sizes)

    def level_size(self, level: int) -> Size:
        """Width and height of a Deep Zoom level, px."""
        if not 0 <= level < self.level_count:
            raise InvalidRequestError(f"no Deep Zoom level {level}, there are {self.level_count}")
        return self._sizes[level]

    def tile_count(self, level: int) -> Size:
        """How many columns (width) and rows (height) of tiles a Deep Zoom level has."""
        size = self.level_size(level)
        return Size(math.ceil(size.width / self.tile_px), math.ceil(size.height / self.tile_px))

    def downsample(self, level: int) -> int:
        """Level-0 pixels per pixel of a Deep Zoom level: a power of two."""
        return int(2 ** (self.level_count - 1 - level))

    def tile(self, level: int, column: int, row: int, levels: Sequence[Level]) -> DeepZoomTile:
        """What to read for a tile from a slide with these levels.

        Raises:
            InvalidRequestError: no such Deep Zoom level, column or row.
        """
        count, size = self.tile_count(level), self.level_size(level)
        if not (0 <= column < count.width and 0 <= row < count.height):
            raise InvalidRequestError(
                f"Deep Zoom level {level}: no tile {column}_{row}, there are "
                f"{count.width} x {count.height}"
            )
        source = slide_level(levels, self.downsample(level))
        ratio = self.downsample(level) / source.downsample
        x, width, out_width = self._axis(column, count.width, size.width, ratio, source.size.width)
        y, height, out_height = self._axis(
            row, count.height, size.height, ratio, source.size.height
        )
        location = Point(int(source.downsample * x), int(source.downsample * y))
        region = Region(location, source.index, Size(width, height))
        return DeepZoomTile(region, Size(out_width, out_height))

    def _axis(
        self, index: int, count: int, extent: int, ratio: float, source_extent: int
    ) -> tuple[float, int, int]:
        """Start and length in pixels of the slide's level, and length in pixels of the tile."""
        before = self.overlap * (index != 0)
        after = self.overlap * (index != count - 1)
        length = min(self.tile_px, extent - self.tile_px * index) + before + after
        start = ratio * (self.tile_px * index - before)
        return start, int(min(math.ceil(ratio * length), source_extent - math.ceil(start))), length

    def dzi(self, image_format: Literal["jpeg", "png"] = "jpeg") -> str:
        """The XML of the .dzi file."""
        from xml.etree.ElementTree import Element, ElementTree, SubElement

        image = Element(
            "Image",
            TileSize=str(self.tile_px),
            Overlap=str(self.overlap),
            Format=image_format,
            xmlns=NAMESPACE,
        )
        SubElement(image, "Size", Width=str(self.size.width), Height=str(self.size.height))
        text = BytesIO()
        ElementTree(image).write(text, encoding="UTF-8")
        return text.getvalue().decode("UTF-8")


def slide_level(levels: Sequence[Level], downsample: float) -> Level:
    """The coarsest level that is not coarser than asked; the finest where all are."""
    finer = [level for level in levels if level.downsample <= downsample]
    return finer[-1] if finer else levels[0]
