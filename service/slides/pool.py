"""Open slides: a bounded number, each used by one thread at a time; who needs more has to wait."""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from service.errors import BusyError
from service.slides.catalogue import Source
from service.slides.limits import check_limits
from wsi import Slide, open_slide
from wsi.handle import SharedCache

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""For so long a request waits for a slide that others use; then it is told to come again."""

DECODED_BYTES = 64 << 20
"""Memory for decoded blocks of all slides together, where the reader shares it."""

Stamp: TypeAlias = tuple[int, int]
"""Size in bytes and time of change in nanoseconds."""


@dataclass(frozen=True)
class Key:
    """One state of a slide file."""

    source: Source
    stamp: Stamp

    @property
    def most(self) -> int:
        """How many handles it may have: a plain picture holds all of its pixels in each."""
        return 1 if self.source.reader == "image" else 1 << 30


def stamp_of(source: Source) -> Stamp:
    """Say which state the file is in.

    Raises:
        OSError: it is gone.
    """
    found = os.stat(source.location)  # noqa: PTH116 - half the time of Path.stat
    return found.st_size, found.st_mtime_ns


class SlidePool:
    """Open slides; safe to share between threads, which the slides are not.

    Args:
        capacity: most slides that are open at a time; a hot slide may be open several times.
        wait_s: how long `borrow` waits for one.
    """

    def __init__(self, capacity: int, wait_s: float = WAIT_S) -> None:
        self._capacity = capacity
        self._wait_s = wait_s
        self._changed = threading.Condition()
        self._idle: OrderedDict[int, tuple[Key, Slide]] = OrderedDict()
        self._used: dict[Key, int] = {}
        self._cache = SharedCache(DECODED_BYTES)
        self._is_closed = False

    @property
    def open_count(self) -> int:
        """How many slides are open or being opened."""
        with self._changed:
            return len(self._idle) + sum(self._used.values())

    @contextmanager
    def borrow(self, source: Source) -> Iterator[Slide]:
        """Have an open slide for oneself; it is opened anew where its file has changed.

        Raises:
            BusyError: all slides were in use for too long.
            SlideError: it cannot be opened.
            OSError: the file is gone.
        """
        key = Key(source, stamp_of(source))
        slide = self._acquire(key)
        is_sound = False
        try:
            if slide is None:
                slide = self._open(source)
            yield slide
            is_sound = True
        finally:  # a handle that met damage is not used again
            self._release(key, slide, is_kept=is_sound)

    def forget(self, location: str) -> None:
        """Close the idle handles of a file."""
        with self._changed:
            found = [n for n, (key, _) in self._idle.items() if key.source.location == location]
            slides = [self._idle.pop(number)[1] for number in found]
            self._changed.notify_all()
        for slide in slides:
            slide.close()

    def close(self) -> None:
        """Close all idle handles; those in use are closed when they come back."""
        with self._changed:
            self._is_closed = True
            slides = [slide for _, slide in self._idle.values()]
            self._idle.clear()
        for slide in slides:
            slide.close()

    def _acquire(self, key: Key) -> Slide | None:
        """Take an idle handle, or None with the right to open one."""
        deadline = time.monotonic() + self._wait_s
        spare: Slide | None = None
        with self._changed:
            while True:
                found = next((n for n, (one, _) in self._idle.items() if one == key), None)
                if found is not None:
                    self._used[key] = self._used.get(key, 0) + 1
                    return self._idle.pop(found)[1]
                if self._used.get(key, 0) < key.most and self._has_room():
                    spare = self._make_room()
                    self._used[key] = self._used.get(key, 0) + 1
                    break
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise BusyError("all slides that may be open are in use", retry_after_s=2)
        if spare is not None:
            spare.close()
        return None

    def _has_room(self) -> bool:
        return sum(self._used.values()) < self._capacity

    def _make_room(self) -> Slide | None:
        """Take away the handle that was used least recently, where the pool is full."""
        if len(self._idle) + sum(self._used.values()) < self._capacity:
            return None
        return self._idle.popitem(last=False)[1][1]

    def _release(self, key: Key, slide: Slide | None, *, is_kept: bool) -> None:
        """Give a handle back; None where it could not be opened."""
        with self._changed:
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]
            is_kept = is_kept and not self._is_closed
            if slide is not None and is_kept:
                self._idle[id(slide)] = (key, slide)
            self._changed.notify_all()
        if slide is not None and not is_kept:
            slide.close()

    def _open(self, source: Source) -> Slide:
        slide = open_slide(source.location, source.reader, source.mpp)
        try:
            check_limits(slide)
            slide.share_cache(self._cache)
        except BaseException:
            slide.close()
            raise
        return slide
