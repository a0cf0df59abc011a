"""Maps as the routes need them: found, opened, described, drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request

from service.archives import Held
from service.content.files import MadeFiles
from service.content.found import find_map
from service.content.pictures import (
    Layer,
    Picture,
    as_png,
    heat_picture,
    is_tissue,
    masked,
    tissue_picture,
)
from service.content.sending import tag
from service.errors import InvalidError, NotFoundError
from service.reading import reading
from service.slides.ready import ReadyCache
from tiling.maps import SlideMap
from wsi.deepzoom import DeepZoom
from wsi.geometry import Size

TILE_PX = 512
TILES_BYTES = 32 << 20
"""Ready tiles that are kept in memory."""


@dataclass(frozen=True)
class Shown:
    """A map of a slide.

    Attributes:
        held: the slide.
        map: the map.
        etag: changes with it.
    """

    held: Held
    map: SlideMap
    etag: str

    @property
    def what(self) -> str:
        """The map in words."""
        return f"the map {self.map.name!r} of {self.held.store.slide_id}"


@dataclass(frozen=True)
class Choice:
    """What of a map is shown.

    Attributes:
        layer: of a tissue map.
        hide: numbers of classes.
        channel: of a heatmap.
    """

    layer: Layer = "classes"
    hide: frozenset[int] = frozenset()
    channel: str | None = None

    @property
    def key(self) -> list[Any]:
        """The same as JSON values."""
        return [self.layer, sorted(self.hide), self.channel]


def open_map(request: Request, slide_id: str, archive: str | None, name: str) -> Shown:
    """Find and open a map.

    Raises:
        NotFoundError: there is no such slide, or map.
        CorruptStoreError: it is damaged.
    """
    held = find_map(request, slide_id, archive, name)
    with reading(f"the map {name!r} of {slide_id}"):
        found = SlideMap(held.store, name)
        key = tag(held.archive, held.store.attributes["checksum"], found.attributes)
        return Shown(held, found, key)


def numbers_of(hide: str) -> frozenset[int]:
    """Read `3,4`, numbers of classes.

    Raises:
        InvalidError: it says something else.
    """
    words = [word for word in hide.split(",") if word]
    if not all(word.isascii() and word.isdigit() and len(word) <= 3 for word in words):
        raise InvalidError(f"hide takes numbers of classes such as 3,4, got {hide!r}")
    return frozenset(map(int, words))


class Pictures:
    """Draws maps; what took work is kept. Safe to share between threads.

    Args:
        files: keeps coarse levels.
    """

    def __init__(self, files: MadeFiles) -> None:
        self._files = files
        self._tiles = ReadyCache[bytes](TILES_BYTES)

    def picture(self, shown: Shown, choice: Choice) -> Picture:
        """Choose what is shown.

        Raises:
            NotFoundError: the map has nothing to show.
            InvalidError: it has not got what is to be shown or hidden.
        """
        with reading(shown.what):
            if is_tissue(shown.map):
                if choice.channel is not None:
                    raise InvalidError(f"{shown.what} has classes, and no channels")
                return tissue_picture(shown.map, choice.layer, choice.hide)
            if choice.hide or choice.layer != "classes":
                raise InvalidError(f"{shown.what} has no classes")
            return heat_picture(shown.map, choice.channel)

    def whole(self, shown: Shown, choice: Choice, max_px: int) -> bytes:
        """Draw all of a map, halved until its longest side is at most `max_px`."""
        picture = self.picture(shown, choice)
        sizes = picture.planes[0].sizes
        level = next(i for i, size in enumerate(sizes) if max(size) <= max_px)
        height, width = sizes[level]
        return self._draw(shown, choice, picture, (level, slice(0, height), slice(0, width)))

    def zoom(self, picture: Picture) -> DeepZoom:
        """Lay a Deep Zoom pyramid over a picture."""
        height, width = picture.size
        return DeepZoom(Size(width, height), TILE_PX, overlap=0)

    def tile(self, shown: Shown, choice: Choice, place: tuple[int, int, int]) -> bytes:
        """Draw a tile.

        Args:
            shown: the map.
            choice: what of it.
            place: Deep Zoom level, column and row.

        Raises:
            NotFoundError: there is no such tile.
        """
        key = tag(shown.etag, choice.key, place)
        ready = self._tiles.get(key)
        if ready is None:
            ready = self._tile(shown, choice, place)
            self._tiles.put(key, ready, len(ready))
        return ready

    def _tile(self, shown: Shown, choice: Choice, place: tuple[int, int, int]) -> bytes:
        picture = self.picture(shown, choice)
        zoom, (level, column, row) = self.zoom(picture), place
        if not 0 <= level < zoom.level_count:
            raise NotFoundError(f"there is no level {level}, only {zoom.level_count}")
        count, size = zoom.tile_count(level), zoom.level_size(level)
        if not (0 <= column < count.width and 0 <= row < count.height):
            raise NotFoundError(f"level {level} has no tile {column}_{row}")
        rows = slice(row * TILE_PX, min((row + 1) * TILE_PX, size.height))
        columns = slice(column * TILE_PX, min((column + 1) * TILE_PX, size.width))
        return self._draw(shown, choice, picture, (zoom.level_count - 1 - level, rows, columns))

    def _draw(
        self, shown: Shown, choice: Choice, picture: Picture, part: tuple[int, slice, slice]
    ) -> bytes:
        with reading(shown.what):
            parts = []
            for number, plane in enumerate(picture.planes):
                overview = Path()
                if part[0] >= plane.kept_level:
                    key = (shown.etag, choice.layer, choice.channel, number, plane.kept_level)
                    overview = self._files.get(key, ".levels", plane.write_overview)
                parts.append(plane.part(overview, *part))
            return as_png(masked(parts, picture.hidden), picture.palette)
