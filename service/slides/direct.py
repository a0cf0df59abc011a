"""Copied tiles that the system has in memory anyway: they need no thread and no open slide."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

from service.slides.pyramid import Pyramid
from service.slides.rendering import Address, is_copied
from wsi.native import NativeTiles, open_native_tiles

MOST_OPEN = 32
"""Slides whose files are open for this; each has a descriptor for each of its levels."""


class DirectTiles:
    """Native tiles of one slide; safe to share between threads.

    Args:
        location: of the slide.
        reader: that opens it.
        pyramid: its Deep Zoom levels.
    """

    def __init__(self, location: str, reader: str, pyramid: Pyramid) -> None:
        self._pyramid = pyramid
        self._lock = threading.Lock()
        self._native: dict[int, NativeTiles] = {}
        for number, origin in enumerate(pyramid.origins):
            if origin.step == 1 and origin.is_grid:
                level = origin.level
                native = open_native_tiles(location, level.index, level.size, reader)
                if native is not None:
                    self._native[number] = native

    def peek(self, at: Address) -> bytes | None:
        """Give the file's own JPEG of a tile; None where there is none, or it is on the disk."""
        with self._lock:
            native = self._native.get(at.level)
            if native is None or not is_copied(self._pyramid, native, at):
                return None
            return native.peek(at.column, at.row)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            native, self._native = self._native, {}
            for one in native.values():
                one.close()


class DirectSlides:
    """Direct tiles of the slides that were looked at last; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Hashable, DirectTiles] = OrderedDict()

    def get(self, key: Hashable) -> DirectTiles | None:
        """Give those of a slide, None where they are not open."""
        return self._open.get(key)

    def put(self, key: Hashable, tiles: DirectTiles) -> None:
        """Keep them, and close those that were kept for longest."""
        with self._lock:
            old = [self._open.pop(key, None)]
            self._open[key] = tiles
            while len(self._open) > MOST_OPEN:
                old.append(self._open.popitem(last=False)[1])
        for one in old:
            if one is not None:
                one.close()

    def drop(self, key: Hashable) -> None:
        """Close those of a slide."""
        with self._lock:
            found = self._open.pop(key, None)
        if found is not None:
            found.close()

    def close(self) -> None:
        """Close all."""
        for key in list(self._open):
            self.drop(key)
