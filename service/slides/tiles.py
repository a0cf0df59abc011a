"""Deep Zoom tiles of all slides: found ready, copied from the file, or rendered, each once."""

import asyncio
import hashlib
import os
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter

from service.errors import NotFoundError
from service.slides.catalogue import Catalogue, Source
from service.slides.direct import DirectSlides, DirectTiles
from service.slides.pixels import pixels_of, translated
from service.slides.pool import SlidePool, Stamp, stamp_of
from service.slides.pyramid import Pyramid, make_pyramid
from service.slides.ready import OneAtATime, ReadyCache
from service.slides.rendering import (
    Address,
    copy_tile,
    cut_overview,
    encode_jpeg,
    read_overview,
    render_tile,
)
from wsi.color import Pixels

Value = TypeVar("Value")

FRESH_S = 1.0
"""For so long what was found of a slide counts; then its file is looked at again."""
MOST_SHOWN = 1024
MOST_WAITING = 1024
THREADS = min(32, 2 * (os.cpu_count() or 1) + 2)
"""More than cores, because a thread that waits for the disk leaves a core free."""
SLOW_THREADS = 2
OVERVIEWS_BYTES = 64 << 20


@dataclass(frozen=True)
class Ready:
    """The bytes of a tile, and what a browser may ask about them."""

    body: bytes
    etag: str


@dataclass
class Shown:
    """A slide whose tiles are asked for, as it was found a moment ago."""

    source: Source
    stamp: Stamp
    pyramid: Pyramid
    seen: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        """Whether that still counts."""
        return time.monotonic() - self.seen < FRESH_S

    @cached_property
    def key(self) -> tuple[Source, Stamp]:
        """What changes when the pixels may have changed."""
        return self.source, self.stamp

    @cached_property
    def mark(self) -> str:
        """The same as letters, for entity tags."""
        return hashlib.sha256(repr(self.key).encode()).hexdigest()[:16]


class TileServer:
    """Gives tiles; safe to share between threads.

    Args:
        catalogue: where slides are.
        pool: opens them.
        cache_bytes: memory for ready tiles.
        registry: of the counter.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        pool: SlidePool,
        cache_bytes: int,
        registry: CollectorRegistry,
    ) -> None:
        self._catalogue, self._pool = catalogue, pool
        self._ready: ReadyCache[Ready] = ReadyCache(cache_bytes)
        self._overviews: ReadyCache[Pixels] = ReadyCache(OVERVIEWS_BYTES)
        self._shown: dict[str, Shown] = {}
        self._direct = DirectSlides()
        self._work = OneAtATime(THREADS, MOST_WAITING)
        self._slow = OneAtATime(SLOW_THREADS, MOST_WAITING)
        counter = Counter(
            "microtome_tiles",
            "Tiles given, by where they came from.",
            ["origin"],
            registry=registry,
        )
        self._counts = {name: counter.labels(name) for name in ("cached", "copied", "rendered")}

    def is_shown(self, slide_id: str, at: Address) -> bool:
        """Whether the slide was looked at a moment ago and has such a tile."""
        shown = self._shown.get(slide_id)
        return bool(shown and shown.is_fresh and shown.pyramid.has(at.level, at.column, at.row))

    def recall(self, slide_id: str, at: Address) -> Ready | None:
        """Give a tile that is ready, of a slide looked at a moment ago; waits for nothing."""
        shown = self._shown.get(slide_id)
        if shown is None or not shown.is_fresh:
            return None
        found = self._ready.get((shown.key, at))
        if found is not None:
            self._counts["cached"].inc()
            return found
        direct = self._direct.get(shown.key)
        body = direct.peek(at) if direct is not None else None
        return None if body is None else self._keep(shown, at, body, "copied")

    async def tile(self, slide_id: str, at: Address) -> Ready:
        """Give a tile, made on another thread where it is not ready.

        Raises:
            NotFoundError: there is no such slide or tile.
            BusyError: too many tiles are being made.
            SlideError: the slide is damaged.
        """
        shown = await self.shown_soon(slide_id)
        if not shown.pyramid.has(at.level, at.column, at.row):
            raise NotFoundError(f"slide {slide_id!r} has no tile {at.level}/{at.column}_{at.row}")
        if shown.pyramid.is_from_overview(at.level):
            await self.overview_soon(slide_id, shown)
        return await _result(
            self._work.submit((shown.key, at), lambda: self._tile(slide_id, shown, at))
        )

    async def shown_soon(self, slide_id: str) -> Shown:
        """Look at a slide on another thread, unless it was looked at a moment ago.

        Raises:
            NotFoundError: there is no such slide, or none of its pixels are here.
            SlideError: its file is damaged.
        """
        known = self._shown.get(slide_id)
        if known is not None and known.is_fresh:
            return known
        return await _result(self._work.submit(("slide", slide_id), lambda: self.shown(slide_id)))

    async def overview_soon(self, slide_id: str, shown: Shown) -> Pixels:
        """Give the picture of the whole slide, which takes seconds where coarse levels are missing.

        It is made on threads of its own, so that the tiles of other slides need not wait.
        """
        found = self._overviews.get(shown.key)
        if found is not None:
            return found
        return await _result(self._slow.submit(shown.key, lambda: self._overview(slide_id, shown)))

    def shown(self, slide_id: str) -> Shown:
        """Look at a slide, unless it was looked at a moment ago.

        Raises:
            NotFoundError: there is no such slide, or none of its pixels are here.
            SlideError: its file is damaged.
        """
        known = self._shown.get(slide_id)
        if known is not None and known.is_fresh:
            return known
        self._shown.pop(slide_id, None)
        source = pixels_of(self._catalogue, slide_id)
        with translated(slide_id):
            stamp = stamp_of(source)
            if known is None or known.key != (source, stamp):
                with self._pool.borrow(source) as slide:
                    known = Shown(source, stamp, make_pyramid(slide))
            if self._direct.get(known.key) is None:
                direct = DirectTiles(source.location, source.reader, known.pyramid)
                self._direct.put(known.key, direct)
        known.seen = time.monotonic()
        if len(self._shown) >= MOST_SHOWN:
            self._shown.clear()
        self._shown[slide_id] = known
        return known

    def forget(self, slide_id: str) -> None:
        """Look at a slide again at the next request, after it was deleted."""
        known = self._shown.pop(slide_id, None)
        if known is not None:
            self._direct.drop(known.key)

    def close(self) -> None:
        """Stop the threads."""
        self._slow.close()
        self._work.close()
        self._direct.close()

    def _tile(self, slide_id: str, shown: Shown, at: Address) -> Ready:
        found = self._ready.get((shown.key, at))
        if found is not None:  # made between the question and now
            self._counts["cached"].inc()
            return found
        with translated(slide_id):
            body, origin = self._make(slide_id, shown, at)
        return self._keep(shown, at, body, origin)

    def _keep(self, shown: Shown, at: Address, body: bytes, origin: str) -> Ready:
        self._counts[origin].inc()
        ready = Ready(body, f'"{shown.mark}-{at.level}-{at.column}-{at.row}"')
        self._ready.put((shown.key, at), ready, len(body))
        return ready

    def _make(self, slide_id: str, shown: Shown, at: Address) -> tuple[bytes, str]:
        pyramid = shown.pyramid
        if pyramid.is_from_overview(at.level):
            pixels = cut_overview(self._overview(slide_id, shown), pyramid, at)
            return encode_jpeg(pixels), "rendered"
        with self._pool.borrow(shown.source) as slide:
            copied = copy_tile(slide, pyramid, at)
            if copied is not None:
                return copied, "copied"
            pixels = render_tile(slide, pyramid, at)
        return encode_jpeg(pixels), "rendered"

    def _overview(self, slide_id: str, shown: Shown) -> Pixels:
        found = self._overviews.get(shown.key)
        if found is None:
            with translated(slide_id), self._pool.borrow(shown.source) as slide:
                found = read_overview(slide, shown.pyramid)
            self._overviews.put(shown.key, found, found.nbytes)
        return found


async def _result(future: Future[Value]) -> Value:
    """Wait for a thread; who stops waiting does not stop it, since others may wait too."""
    return await asyncio.shield(asyncio.wrap_future(future))
