"""What one archive holds, remembered until it may have changed.

A folder is asked at every turn whether it has changed, which takes microseconds. A bucket is asked
twice a minute, since every question takes tens of milliseconds; what is derived from its index of
slides is as old as that, which every run renews at its end.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tiling.embeddings import embedding_ids
from tiling.errors import StoreError
from tiling.maps import map_names
from tiling.storage import LocalStorage
from tiling.store import DOCUMENT, INDEX, Archive, PatchStore

Value = TypeVar("Value")

SETTLED_S = 2.0
"""A folder that changed this short a time ago may change again without a trace in its times."""
REMOTE_S = 30.0
"""For so long what a bucket answered counts as what is there."""
SLIDES_KEPT = 4096
"""Slides whose attributes are remembered, of all archives together."""


@dataclass(frozen=True)
class Contents:
    """What was added to the patches of one slide.

    Attributes:
        maps: names, sorted.
        embeddings: encoders, sorted.
    """

    maps: tuple[str, ...]
    embeddings: tuple[str, ...]


@dataclass
class _Known(Generic[Value]):
    value: Value
    mark: Hashable
    at: float


class Memory(Generic[Value]):
    """The last answers, by key; safe to share between threads.

    Args:
        size: answers that are kept; the least recently used one goes first.
    """

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._known: OrderedDict[Hashable, _Known[Value]] = OrderedDict()

    def get(self, key: Hashable, mark: Hashable, find: Callable[[], Value]) -> Value:
        """Give the answer; it is found anew where there is none, or it may be outdated.

        Args:
            key: of the question.
            mark: changes with the answer; None where only time tells.
            find: finds the answer.
        """
        now = time.monotonic()
        with self._lock:
            known = self._known.get(key)
            if known is not None and _holds(known, mark, now):
                self._known.move_to_end(key)
                return known.value
        value = find()
        with self._lock:
            self._known[key] = _Known(value, mark, now)
            self._known.move_to_end(key)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return value


def _holds(known: _Known[Value], mark: Hashable, now: float) -> bool:
    if mark is None:
        return now - known.at < REMOTE_S
    return known.mark == mark


def mark_of(path: Path) -> Hashable:
    """Give what changes with a file or a folder; is never twice the same right after a change."""
    try:
        found = path.stat()
    except OSError:
        return time.monotonic_ns()
    settled = time.time_ns() - found.st_mtime_ns >= SETTLED_S * 1e9
    mark = found.st_mtime_ns, found.st_ino, found.st_size
    return mark if settled else (*mark, time.monotonic_ns())


class Listings:
    """Slides of all archives, and what belongs to each."""

    def __init__(self) -> None:
        self._archives: Memory[Archive] = Memory(64)
        self._ids: Memory[frozenset[str]] = Memory(64)
        self._stores: Memory[PatchStore] = Memory(SLIDES_KEPT)
        self._contents: Memory[Contents] = Memory(SLIDES_KEPT)

    def open(self, location: str) -> Archive:
        """Open an archive.

        Raises:
            StoreError: there is none.
        """
        mark = mark_of(Path(location, DOCUMENT)) if _is_local(location) else None
        return self._archives.get(location, mark, lambda: Archive.open(location))

    def slide_ids(self, location: str) -> frozenset[str]:
        """IDs of the committed slides; none where the archive is being made or taken away."""
        mark = mark_of(Path(location)) if _is_local(location) else None
        return self._ids.get(location, mark, lambda: self._list(location))

    def _list(self, location: str) -> frozenset[str]:
        try:
            archive = self.open(location)
            if isinstance(archive.storage, LocalStorage):
                return frozenset(archive.slide_ids())
            return _indexed(archive)
        except (StoreError, FileNotFoundError):
            return frozenset()

    def store(self, location: str, slide_id: str) -> PatchStore:
        """Open a committed slide.

        Raises:
            StoreError: there is no such archive or slide.
        """
        local = _is_local(location)
        if not local and slide_id not in self.slide_ids(location):
            raise StoreError(f"no committed slide {slide_id!r}")
        mark = mark_of(Path(location, slide_id, DOCUMENT)) if local else None
        key = location, slide_id
        return self._stores.get(key, mark, lambda: self.open(location)[slide_id])

    def contents(self, location: str, store: PatchStore) -> Contents:
        """Tell which maps and embeddings a slide has."""
        if _is_local(location):  # a map appears within its folder, which no other folder shows
            return _contents(store)
        return self._contents.get((location, store.slide_id), None, lambda: _contents(store))


def _indexed(archive: Archive) -> frozenset[str]:
    """Slides of the index: one request, where asking for every slide would be thousands."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = archive.storage.read(INDEX)
    except FileNotFoundError:  # its first run has not ended
        return frozenset(archive.slide_ids())
    table = pq.read_table(pa.BufferReader(data), columns=["slide_id"])
    return frozenset(table.column(0).to_pylist())


def _contents(store: PatchStore) -> Contents:
    return Contents(tuple(map_names(store)), tuple(embedding_ids(store)))


def _is_local(location: str) -> bool:
    return "://" not in location
