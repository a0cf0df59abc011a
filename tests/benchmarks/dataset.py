"""PatchDataset: decoding against a plain libjpeg-turbo loop, and two worker processes against one.

Machines that do other things meanwhile disturb these ratios, so each is measured several times in
turn; the best rates are compared.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import simplejpeg

from models.data import PatchDataset, iterate_batches
from tests.benchmarks import slides
from tests.benchmarks.clock import Row, at_least
from tests.benchmarks.cutting import NATIVE
from tiling.reader import PatchReader
from tiling.request import SlideSource
from tiling.store import Archive
from tiling.tiler import run
from workflows.cluster import starting_client

BATCH = 64
ROUNDS = 7
DECODED = 1024
"""Patches per round of decoding."""
LOADED = 6144
"""Patches per round of workers: some seconds, so that the first batches do not count."""


def dataset() -> Iterator[Row]:
    """Give the rates of a data set of 256 px JPEG tiles."""
    archive = _archive()
    data = PatchDataset(str(archive), threads=1)
    order = np.random.default_rng(0).permutation(len(data))
    yield from _decoding(archive, data, order[:DECODED])
    yield from _workers(data, np.resize(order, LOADED))


def _archive() -> Path:
    out = slides.out("dataset")
    with starting_client(1, None) as client:
        run([SlideSource("s", str(slides.slide()))], NATIVE, Archive.create(str(out)), client())
    return out


def _decoding(archive: Path, data: PatchDataset, order: np.ndarray) -> Iterator[Row]:
    reader = PatchReader(Archive.open(str(archive))["s"])
    stored = [reader.encoded(int(i)) for i in order]
    place = np.empty((BATCH, *reader.patch_shape), np.uint8)

    def plain() -> None:
        for i, jpeg in enumerate(stored):
            simplejpeg.decode_jpeg(jpeg, "RGB", buffer=place[i % BATCH])

    def ours() -> None:
        for start in range(0, len(order), BATCH):
            data.__getitems__(order[start : start + BATCH])

    theirs, mine = _in_turn(len(order), plain, ours)
    yield Row("simplejpeg loop over the same bytes", max(theirs), "patches/s")
    against = "libjpeg-turbo loop"
    yield at_least("PatchDataset, one thread, best", max(mine), max(theirs), 0.8, against)
    yield at_least("PatchDataset, one thread, median", median(mine), median(theirs), 0.8, against)


def _in_turn(count: int, *works: Callable[[], None]) -> list[list[float]]:
    """Give the rates of each work, measured in turn so that all see the same machine."""
    rates: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, found in zip(works, rates, strict=True):
            start = time.perf_counter()
            work()
            found.append(count / (time.perf_counter() - start))
    return rates


def _workers(data: PatchDataset, order: np.ndarray) -> Iterator[Row]:
    one, two = [], []
    for _ in range(ROUNDS):
        one.append(_loaded(data, order, 1))
        two.append(_loaded(data, order, 2))
    yield Row("PatchDataset, one worker process", max(one), "patches/s")
    yield at_least("PatchDataset, two worker processes, best", max(two), max(one), 1.6, "one")
    yield at_least(
        "PatchDataset, two worker processes, median", median(two), median(one), 1.6, "one"
    )


def _loaded(data: PatchDataset, order: np.ndarray, workers: int) -> float:
    """Give the rate once every worker has given its first batch."""
    skip = 2 * workers
    seen, start = 0, 0.0
    for number, batch in enumerate(
        iterate_batches(data, order, batch_size=BATCH, workers=workers, start="fork", ahead=4)
    ):
        if number >= skip:
            seen += len(batch)
        elif number == skip - 1:
            start = time.perf_counter()
    return seen / (time.perf_counter() - start)
