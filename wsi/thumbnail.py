"""A whole slide as one small picture, in bounded memory. Given ways to read; it opens nothing."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wsi.area import AreaMean, block_mean
from wsi.color import Pixels
from wsi.errors import RegionError
from wsi.geometry import Level, Point, Region, Size

if TYPE_CHECKING:
    from wsi.native import NativeTiles

logger = logging.getLogger(__name__)

# One block is decoded at a time: 16 MB of RGBA, and whole rows of tiles of any usual size.
BLOCK_WIDTH, BLOCK_HEIGHT = 4096, 1024
# A block that cannot be read is tried again in pieces of this size: one bad tile costs little.
PIECE = 256
# A block is first reduced by a whole factor in C; what is left stays this many times the
# thumbnail, so that the exact area mean after it decides the edges.
OVERSAMPLING = 4
# The same for tiles decoded at a reduced scale: 2 costs 0.8 grey levels on H&E, 1 costs 2.3.
SCALED_OVERSAMPLING = 2


class Bands(Protocol):
    """A level as bands of reduced pixels from top to bottom; unreadable pieces are white."""

    factor: int
    """Pixels of the level per pixel of a band, along each axis."""
    readable: int
    unreadable: int

    def bands(self) -> Iterator[Pixels]:
        """Bands u1 (k, ceil(width / factor), 3) in order."""


def thumbnail_size(slide: Size, max_px: int) -> Size:
    """The slide's shape with the longest side at most `max_px`; never enlarged, never empty."""
    factor = max(1.0, max(slide.width, slide.height) / max_px)
    return Size(max(1, round(slide.width / factor)), max(1, round(slide.height / factor)))


def best_level(levels: Sequence[Level], target: Size) -> Level:
    """The coarsest level that is not smaller than the target; level 0 where none is."""
    fitting = [
        level
        for level in levels
        if level.size.width >= target.width and level.size.height >= target.height
    ]
    return max(fitting, key=lambda level: level.downsample, default=levels[0])


def scale_to(level: Level, target: Size) -> float:
    """How many pixels of the level one pixel of the target covers, along the axis with fewer."""
    return min(level.size.width / target.width, level.size.height / target.height)


def level_extent(slide: Size, level: Level) -> tuple[float, float]:
    """Width and height of the slide in level pixels: without a level's padding, fractional."""
    return (
        min(level.size.width, slide.width / level.downsample),
        min(level.size.height, slide.height / level.downsample),
    )


def make_thumbnail(source: Bands, slide: Size, level: Level, target: Size) -> Pixels:
    """The area mean of one level as u1 (target.height, target.width, 3).

    Raises:
        RegionError: not one piece of the level is readable.
    """
    width, height = level_extent(slide, level)
    extent = (width / source.factor, height / source.factor)
    if extent == (target.width, target.height):
        picture = np.concatenate(list(source.bands()))
    else:
        mean = AreaMean(extent, (target.height, target.width))
        for band in source.bands():
            mean.add(band)
        picture = mean.result()
    if not source.readable:
        raise RegionError(f"level {level.index}: none of {source.unreadable} pieces is readable")
    if source.unreadable:
        logger.warning("thumbnail: %d unreadable pieces are white", source.unreadable)
    return picture


class Blocks:
    """Bands by reading regions.

    Args:
        read: reads a region as u1 (h, w, 3), or raises RegionError.
        level: the level to read.
        target: the size of the thumbnail, px.
    """

    def __init__(self, read: Callable[[Region], Pixels], level: Level, target: Size) -> None:
        self._read = read
        self._level = level
        self.factor = max(1, int(scale_to(level, target) / OVERSAMPLING))
        self.readable = 0
        self.unreadable = 0

    def bands(self) -> Iterator[Pixels]:
        """Bands u1 (k, ceil(width / factor), 3) in order."""
        size, factor = self._level.size, self.factor
        step_x = factor * max(1, BLOCK_WIDTH // factor)
        step_y = factor * max(1, BLOCK_HEIGHT // factor)
        for top in range(0, size.height, step_y):
            height = min(step_y, size.height - top)
            blocks = [
                block_mean(self._block(left, top, min(step_x, size.width - left), height), factor)
                for left in range(0, size.width, step_x)
            ]
            yield np.concatenate(blocks, axis=1)

    def _block(self, left: int, top: int, width: int, height: int) -> Pixels:
        try:
            pixels = self._read(self._region(left, top, width, height))
        except RegionError as err:
            logger.info("thumbnail: %s", err)
            if width > PIECE or height > PIECE:
                return self._pieces(left, top, width, height)
            self.unreadable += 1
            return np.full((height, width, 3), 255, dtype=np.uint8)
        self.readable += 1
        return pixels

    def _pieces(self, left: int, top: int, width: int, height: int) -> Pixels:
        whole = np.empty((height, width, 3), dtype=np.uint8)
        for y in range(0, height, PIECE):
            for x in range(0, width, PIECE):
                w, h = min(PIECE, width - x), min(PIECE, height - y)
                whole[y : y + h, x : x + w] = self._block(left + x, top + y, w, h)
        return whole

    def _region(self, left: int, top: int, width: int, height: int) -> Region:
        downsample = self._level.downsample
        location = Point(round(left * downsample), round(top * downsample))
        return Region(location, self._level.index, Size(width, height))


class ReducedTiles:
    """Bands by decoding the file's own tiles at 1/2, 1/4 or 1/8: one row of tiles is one band.

    Args:
        tiles: all tiles of the level.
        factor: a reduction that the tiles can be decoded at.
        shown: what a decoded array goes through before it is shown, such as ICC conversion.
    """

    def __init__(
        self, tiles: "NativeTiles", factor: int, shown: Callable[[Pixels], Pixels]
    ) -> None:
        self._tiles = tiles
        self._shown = shown
        self.factor = factor
        self.readable = 0
        self.unreadable = 0

    def bands(self) -> Iterator[Pixels]:
        """Bands u1 (k, ceil(width / factor), 3) in order."""
        tiles, factor = self._tiles, self.factor
        step = tiles.tile.height // factor
        width = -(-tiles.size.width // factor)
        rows_left = -(-tiles.size.height // factor)
        for row in range(tiles.rows):
            yield self._band(row)[: min(step, rows_left), :width]
            rows_left -= step

    def _band(self, row: int) -> Pixels:
        tiles, factor = self._tiles, self.factor
        step = tiles.tile.width // factor
        shape = (tiles.tile.height // factor, tiles.columns * step, 3)
        band = np.full(shape, 255, dtype=np.uint8)
        found = tiles.read_many([(column, row) for column in range(tiles.columns)])
        for column, data in enumerate(found):
            part = self._decoded(data)
            if part is not None:
                band[:, column * step : (column + 1) * step] = part
        return self._shown(band)

    def _decoded(self, data: bytes | RegionError | None) -> Pixels | None:
        """One tile; None where it is absent or damaged."""
        try:
            if isinstance(data, RegionError):
                raise data
            part = None if data is None else self._tiles.decode(data, self.factor)
        except RegionError as err:
            logger.info("thumbnail: %s", err)
            self.unreadable += 1
            return None
        self.readable += 1
        return part


def usable_reduction(tiles: "NativeTiles | None", scale: float) -> int:
    """The largest reduction while decoding that a scale leaves room for; 1 where none is."""
    if tiles is None or not tiles.byte_counts.all():
        return 1  # what an absent tile shows is the reader's to say
    sides = (tiles.tile.width, tiles.tile.height)
    fitting = (
        step
        for step in tiles.reductions
        if step * SCALED_OVERSAMPLING <= scale and not any(px % step for px in sides)
    )
    return max(fitting, default=1)
