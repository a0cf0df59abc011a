"""A small memory of parsed files, so that the many tasks of one slide parse it once per process."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from wsi.native.source import is_url

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Stamp: TypeAlias = tuple[str, int, str]
"""A location, its size in bytes, and when it was changed (or its entity tag)."""


class BoundedCache(Generic[K, V]):
    """Keeps the values used last; safe to share between threads."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value, None where it is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        """Keep and return a value."""
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._entries_max:
                self._values.popitem(last=False)
        return value


def stamp(location: str) -> Stamp:
    """Say which state of a file this is; OSError where there is none."""
    if not is_url(location):
        found = Path(location).stat()
        return location, found.st_size, str(found.st_mtime_ns)
    import fsspec

    fs, path = fsspec.core.url_to_fs(location)
    info: dict[str, Any] = fs.info(path)
    names = ("ETag", "mtime", "LastModified", "last_modified", "created")
    changed = next((str(info[name]) for name in names if info.get(name)), "")
    return location, int(info.get("size") or 0), changed
