"""Windows of a slide in batches, read and decoded by threads while a network works."""

import copy
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Event, Lock
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.mapping.planning import SlideMapPlan
from tiling.area import Pixels
from tiling.pixels import Footprint, cut_patches
from tiling.tiles import UNREADABLE
from wsi.slide import Slide

AHEAD_BYTES = 64 << 20
"""Pixels of windows that wait at most, of each thread; a few always may."""
POLL_S = 0.1

Item = TypeVar("Item")


@dataclass
class WindowSource:
    """Batches of a map's windows, in their order.

    Each thread reads a strip of the map with a handle of its own, from top to bottom, so that tiles
    are decoded once, but for those that two strips share.

    Attributes:
        slide: that is read.
        plan: which windows.
        threads: that read and decode.
        pinned: give page-locked memory, from which a GPU copies while it computes.
        unreadable: windows that could not be read so far; they are white.
        error: what the first of them said.
    """

    slide: Slide
    plan: SlideMapPlan
    threads: int = 1
    pinned: bool = False
    unreadable: int = field(default=0, init=False)
    error: str = field(default="", init=False)
    _counting: Lock = field(default_factory=Lock, init=False, repr=False)

    def batches(self, parts: Sequence[range]) -> Generator[tuple[range, Tensor], None, None]:
        """Give uint8 (B, P, P, 3) of each part: positions among the plan's windows.

        Raises:
            SlideError: the slide cannot be opened any more.
        """
        return ahead(self._batches(parts), 2)

    def _batches(self, parts: Sequence[range]) -> Generator[tuple[range, Tensor], None, None]:
        side = self.plan.footprint.patch_px
        first = parts[0].start if parts else 0
        with closing(self._windows(first)) as windows:
            for part in parts:
                shape = (len(part), side, side, 3)
                pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self.pinned)
                for place in pixels.numpy():
                    place[:] = next(windows)
                yield part, pixels

    def _windows(self, first: int) -> Generator[Pixels, None, None]:
        """Give all windows from one on, one after the other."""
        origins = self.plan.origins[first:]
        strip_of = strips(origins[:, 0], self.threads)
        count = int(strip_of.max(initial=-1)) + 1
        depth = max(4, AHEAD_BYTES // self.plan.footprint.patch_px**2 // 3)
        readers = [self._strip(origins[strip_of == strip]) for strip in range(count)]
        if count > 1:
            readers = [ahead(reader, depth) for reader in readers]
        try:
            for strip in strip_of.tolist():
                yield next(readers[strip])
        finally:
            for reader in readers:
                reader.close()

    def _strip(self, origins: NDArray[np.float64]) -> Generator[Pixels, None, None]:
        slide = copy.copy(self.slide)  # as pickling does: a handle that is not open yet
        try:
            yield from self._pixels(slide, self.plan.footprint, origins)
        finally:
            slide.close()

    def _pixels(
        self, slide: Slide, footprint: Footprint, origins: NDArray[np.float64]
    ) -> Iterator[Pixels]:
        for cut in cut_patches(slide, footprint, origins, by_row=True):
            if cut.status == UNREADABLE:
                with self._counting:
                    self.unreadable += 1
                    self.error = self.error or cut.error
            yield cut.pixels


def strips(x: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Cut windows at columns into strips with about equally many; gives the strip of each `(n,)`.

    Windows of one column are in one strip; there may be fewer strips than asked for.
    """
    edges = np.quantile(x, np.arange(1, count) / count, method="lower") if len(x) else x
    numbers = np.searchsorted(np.unique(edges), x, side="left")
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def ahead(source: Generator[Item, None, None], count: int) -> Generator[Item, None, None]:
    """Take up to so many items from a source in a thread, before they are asked for.

    What the source raises is raised here, after the items before it.
    """
    waiting: Queue[Item | None] = Queue(count)
    stopped = Event()

    def offer(item: Item | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=POLL_S)
            except Full:
                continue
            return True
        return False

    def fill() -> None:
        try:
            with closing(source):
                for item in source:
                    if not offer(item):
                        return
        finally:
            offer(None)

    with ThreadPoolExecutor(1, "windows") as pool:
        work = pool.submit(fill)
        try:
            while (item := waiting.get()) is not None:
                yield item
            work.result()
        finally:
            stopped.set()
            _drain(waiting)


def _drain(waiting: "Queue[Item | None]") -> None:
    """Let go of what nobody takes any more."""
    while True:
        try:
            waiting.get_nowait()
        except Empty:
            return
