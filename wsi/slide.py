"""The slide: few primitives that a reader gives, and the behaviour that all readers share."""

import logging
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsi.color import Pixels, over_white, to_srgb
from wsi.errors import (
    InvalidRequestError,
    MissingMppError,
    RegionError,
    SlideError,
    UnreadableSlideError,
)
from wsi.geometry import Level, Point, Region, Size
from wsi.handle import GivenMpp, Handle
from wsi.mpp import MppRecord
from wsi.thumbnail import (
    Bands,
    Blocks,
    ReducedTiles,
    best_level,
    make_thumbnail,
    scale_to,
    thumbnail_size,
    usable_reduction,
)

if TYPE_CHECKING:
    from wsi.native import NativeTiles

logger = logging.getLogger(__name__)

# The largest scanners make some 300,000 px per side; a damaged header easily claims 4,000,000,000.
LARGEST_SIDE_PX = 10_000_000
# Above this, decoding a level's own tiles at a reduced scale is worth the parsing of the file.
LARGE_PX = 16_000_000
BOUNDS = ("bounds-x", "bounds-y", "bounds-width", "bounds-height")


class Slide(Handle):
    """A whole-slide image, open for reading.

    Frame: a location is the top-left corner in level-0 pixels, a size is in pixels of the level
    asked, arrays are u1 (row, col, RGB). A location between two pixels of a coarser level goes to
    the nearest one (OpenSlide interpolates instead).

    A slide pickles as (class, location, options) and opens its file again on first use in the
    other process. It is not thread-safe: one slide per thread, and none across a fork.

    Args:
        location: path or URL.
        mpp: um/px of level 0, one value or (x, y), in place of what the file says.
        icc: convert pixels to sRGB with the slide's ICC profile, where it has one.

    Raises:
        SlideError: the slide cannot be opened; the class says why.
    """

    reader: ClassVar[str]

    def __init__(self, location: str, *, mpp: GivenMpp = None, icc: bool = False) -> None:
        self._configure(location, mpp, icc=icc)
        try:
            _ = self.levels  # a damaged header must show here, not at the first pixel
        except SlideError:
            self.close()
            raise

    def _configure(self, location: str, mpp: GivenMpp, *, icc: bool) -> None:
        super()._configure(location, mpp, icc=icc)
        self._native: dict[int, NativeTiles | None] = {}

    # Primitives, with _open and _close: each reader gives these, and may raise anything in them.

    @abstractmethod
    def _read_levels(self) -> tuple[Level, ...]:
        """All levels, finest first."""

    @abstractmethod
    def _read_properties(self) -> dict[str, str]:
        """Everything that the file says, as text."""

    @abstractmethod
    def _metadata_mpp(self) -> MppRecord | None:
        """What the file says about microns per pixel; None where it says nothing usable."""

    @abstractmethod
    def _read(self, corner: Point, level: Level, location: Point, size: Size) -> Pixels:
        """Pixels of a non-empty rectangle inside the level: u1 RGB, or RGBA with straight alpha.

        The corner is in pixels of the level; the location is the level-0 one that it came from.
        The array must be the caller's to change.
        """

    def _associated_names(self) -> tuple[str, ...]:
        """Names of label, macro, thumbnail and the like."""
        return ()

    def _read_associated(self, name: str) -> Pixels:
        """One associated image, u1 (h, w, 3) or (h, w, 4)."""
        raise InvalidRequestError(f"{self.location}: no associated image {name!r}")

    def _read_icc_profile(self) -> bytes | None:
        """The ICC profile of the slide's pixels; None where it has none."""
        return None

    # What is known without pixels.

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """All levels, finest first."""
        with self._translated("damaged, its levels cannot be read"):
            self._ensure_open()
            levels = self._read_levels()
        _check_levels(self.location, levels)
        return levels

    @property
    def size(self) -> Size:
        """Width and height of level 0, px."""
        return self.levels[0].size

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """Everything that the file says, under the reader's own names."""
        with self._translated("damaged, its properties cannot be read"):
            self._ensure_open()
            return self._read_properties()

    @property
    def vendor(self) -> str:
        """The scanner's maker or the file family, as the reader names it, or "unknown"."""
        return self.properties.get(f"{self.reader}.vendor", "unknown")

    @property
    def objective(self) -> float | None:
        """The objective's nominal magnification; None where the file does not say."""
        try:
            power = float(self.properties[f"{self.reader}.objective-power"])
        except (KeyError, ValueError):
            return None
        return power if math.isfinite(power) and power > 0 else None

    @cached_property
    def mpp(self) -> MppRecord:
        """Microns per pixel of level 0, and where the value came from.

        Raises:
            MissingMppError: the file does not say and none was given.
        """
        with self._translated("damaged, its resolution cannot be read"):
            record = self._override or self._metadata_mpp()
        if record is None:
            raise MissingMppError(
                f"{self.location}: the slide does not say its microns per pixel; give them with "
                f"`--slide-mpp 0.5`, or in the column mpp of a manifest"
            )
        return record

    @property
    def bounds(self) -> Region:
        """The scanned part at level 0; the whole slide where the file names none."""
        whole = Region(Point(0, 0), 0, self.size)
        names = (f"{self.reader}.{name}" for name in BOUNDS)
        try:
            x, y, width, height = (int(self.properties[name]) for name in names)
        except (KeyError, ValueError):
            return whole
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, self.size.width), min(y + height, self.size.height)
        if right <= left or bottom <= top:
            return whole
        return Region(Point(left, top), 0, Size(right - left, bottom - top))

    @cached_property
    def icc_profile(self) -> bytes | None:
        """The ICC profile of the pixels as the file stores them; None where it has none."""
        with self._translated("damaged, its ICC profile cannot be read"):
            self._ensure_open()
            return self._read_icc_profile()

    # Pixels.

    def read_region(self, region: Region) -> Pixels:
        """Pixels as u1 (h, w, 3): white outside, alpha over white, sRGB where `icc` is set.

        Raises:
            InvalidRequestError: no such level.
            RegionError: unreadable even with a fresh handle. Later reads are not affected.
        """
        level, at = self._level(region.level), region.location
        width, height = region.size.width, region.size.height
        left, top = round(at.x / level.downsample), round(at.y / level.downsample)
        x0, x1 = max(left, 0), min(left + width, level.size.width)
        y0, y1 = max(top, 0), min(top + height, level.size.height)
        if x1 <= x0 or y1 <= y0:
            return np.full((height, width, 3), 255, dtype=np.uint8)
        location = Point(max(at.x, 0), max(at.y, 0))
        inside = self._read_retrying(Point(x0, y0), level, location, Size(x1 - x0, y1 - y0))
        if inside.shape[:2] == (height, width):
            return inside
        padded = np.full((height, width, 3), 255, dtype=np.uint8)
        padded[y0 - top : y1 - top, x0 - left : x1 - left] = inside
        return padded

    def _level(self, index: int) -> Level:
        if not 0 <= index < len(self.levels):
            count = len(self.levels)
            raise InvalidRequestError(f"{self.location}: no level {index}, there are {count}")
        return self.levels[index]

    def _read_retrying(self, corner: Point, level: Level, location: Point, size: Size) -> Pixels:
        try:
            return self._read_rgb(corner, level, location, size)
        except Exception as err:  # noqa: BLE001 - whatever a damaged file makes a library raise
            logger.info("%s: reopened after: %s", self.location, err)
            self.close()  # an OpenSlide handle fails for ever after its first error
        try:
            pixels = self._read_rgb(corner, level, location, size)
        except Exception as err:
            self.close()
            raise RegionError(
                f"{self.location}: level {level.index}, {size.width} x {size.height} px at level-0 "
                f"({location.x}, {location.y}) cannot be read: {err or type(err).__name__}"
            ) from err
        self.retries += 1
        return pixels

    def _read_rgb(self, corner: Point, level: Level, location: Point, size: Size) -> Pixels:
        self._ensure_open()
        pixels = self._read(corner, level, location, size)
        if pixels.shape[:2] != (size.height, size.width):
            raise RegionError(f"{size} asked, but an array {pixels.shape} came back")
        return self._shown(pixels)

    def _shown(self, pixels: Pixels) -> Pixels:
        if self._icc and self.icc_profile is not None:
            pixels = pixels.copy()
            pixels[..., :3] = to_srgb(pixels[..., :3], self.icc_profile)
        return over_white(pixels) if pixels.shape[2] == 4 else pixels

    def thumbnail(self, max_px: int) -> Pixels:
        """The whole slide as u1 (h, w, 3), area-averaged; the longest side is at most `max_px`.

        Memory is bounded whatever the slide's size. Unreadable pieces stay white and are logged.

        Raises:
            RegionError: nothing of the slide is readable.
        """
        if max_px < 1:
            raise InvalidRequestError(f"max_px must be positive, got {max_px}")
        target = thumbnail_size(self.size, max_px)
        level = best_level(self.levels, target)
        return make_thumbnail(self._bands(level, target), self.size, level, target)

    def _bands(self, level: Level, target: Size) -> Bands:
        """The cheaper way to the level's pixels, where it is large enough to matter."""
        if level.size.area > LARGE_PX:
            tiles = self.native_tiles(level.index)
            factor = usable_reduction(tiles, scale_to(level, target))
            if tiles is not None and factor > 1:
                return ReducedTiles(tiles, factor, self._shown)
        return Blocks(self.read_region, level, target)

    @cached_property
    def associated(self) -> Mapping[str, Pixels]:
        """Associated images by name, u1 (h, w, 3); each is read when it is asked for."""
        with self._translated("damaged, its associated images cannot be read"):
            self._ensure_open()
            return _Associated(self, self._associated_names())

    def _read_associated_rgb(self, name: str) -> Pixels:
        try:
            self._ensure_open()
            return self._shown(self._read_associated(name))
        except Exception as err:
            self.close()
            raise RegionError(f"{self.location}: image {name!r} cannot be read: {err}") from err

    def native_tiles(self, level: int) -> "NativeTiles | None":
        """The file's own compressed tiles of one level; None where the format has none to give.

        They show the pixels as stored: without ICC conversion.
        """
        from wsi.native import open_native_tiles

        if level not in self._native:
            size = self._level(level).size
            with self._translated("damaged, its native tiles cannot be read"):
                self._native[level] = open_native_tiles(self.location, level, size, self.reader)
        return self._native[level]

    def close(self) -> None:
        """Release the file, and native tiles with it; the next use opens it again."""
        native, self._native = self._native, {}
        for tiles in native.values():
            if tiles is not None:
                tiles.close()
        super().close()


def _check_levels(location: str, levels: tuple[Level, ...]) -> None:
    if not levels:
        raise UnreadableSlideError(f"{location}: it has no levels")
    for level in levels:
        sides = (level.size.width, level.size.height)
        if not all(0 < side <= LARGEST_SIDE_PX for side in sides):
            raise UnreadableSlideError(f"{location}: damaged, it claims a level of {sides} px")
        if not (math.isfinite(level.downsample) and level.downsample > 0):
            raise UnreadableSlideError(f"{location}: damaged, it claims {level}")


class _Associated(Mapping[str, Pixels]):
    """Names at once, pixels when asked."""

    def __init__(self, slide: Slide, names: tuple[str, ...]) -> None:
        self._slide = slide
        self._names = names

    def __getitem__(self, name: str) -> Pixels:
        if name not in self._names:
            raise KeyError(name)
        return self._slide._read_associated_rgb(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
