"""Embeddings over HTTP against a plain file of the same size from the same server; like patches.

The server is a process of its own; what is downloaded is counted and thrown away.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from service.content.matrix import Matrix, Part
from service.content.nearest import nearest
from tests.benchmarks.clock import Row, at_least
from tests.models.bags.large import make_large
from tests.models.bags.planted import ENCODER
from tests.service.conftest import serving

ROWS, DIM = 20_000, 1_536
SHARE = 0.6
"""Of the rate of a plain file that a download must reach."""
REPEATS = 5
SEARCHED = ((100_000, 384), (100_000, 1_536), (1_000_000, 384), (1_000_000, 1_536))
"""Rows and their lengths in which like ones are searched."""
FOUND = 24
BLOCK = 16_384


def measure() -> list[Row]:
    """Download one slide of 20,000 x 1,536 float32, and search in up to a million rows."""
    folder = Path(tempfile.mkdtemp(prefix="bench-serving-", dir=os.environ.get("BENCH_DIR")))
    try:
        return [*_downloads(folder), *_searches(folder)]
    finally:
        shutil.rmtree(folder)


def _downloads(folder: Path) -> list[Row]:
    make_large(folder / "a.zarr", ROWS, DIM)
    with serving("--work", folder, "--jobs", 0) as url, httpx.Client(timeout=120) as client:
        address = f"{url}/api/v1/slides/large/embeddings/{ENCODER}?format="
        sizes = {kind: _fetch(client, address + kind)[0] for kind in ("npz", "h5", "arrow")}
        best = dict.fromkeys(sizes, float("inf"))
        for _ in range(REPEATS):  # in turns, as other work on the machine comes and goes
            for kind in sizes:
                best[kind] = min(best[kind], _fetch(client, address + kind)[1])
    rates = {kind: sizes[kind] / best[kind] / 1e6 for kind in sizes}
    against = f"{rates['npz']:,.0f} MB/s of a file that was made before"
    return [
        _share(f"download {kind}, {ROWS:,} x {DIM:,} float32", rates[kind], rates["npz"], against)
        for kind in ("h5", "arrow")
    ]


def _share(name: str, value: float, base: float, against: str) -> Row:
    row = at_least(name, value, base, SHARE, against)
    return Row(row.name, row.value, "MB/s", row.against, row.ratio, row.target, row.met)


def _fetch(client: httpx.Client, address: str) -> tuple[int, float]:
    """Bytes, and seconds."""
    start, size = time.perf_counter(), 0
    with client.stream("GET", address) as answer:
        answer.raise_for_status()
        for block in answer.iter_raw():
            size += len(block)
    return size, time.perf_counter() - start


def _searches(folder: Path) -> list[Row]:
    rows = []
    for count, dim in SEARCHED:
        matrix = _matrix(folder / f"{count}-{dim}", count, dim)
        seconds = _best(lambda one=matrix: nearest(one, 17, FOUND))
        plain = _best(lambda one=matrix: np.asarray(one.rows) @ np.array(one.rows[17]))
        against = f"{plain:.2f} s for the bare product of all at once"
        what = f"search {count:,} patches of {dim:,}"
        rows.append(Row(what, seconds, "s", against, seconds / plain))
        (folder / f"{count}-{dim}").unlink()
    return rows


def _matrix(path: Path, count: int, dim: int) -> Matrix:
    """A mapped file of random directions; the same ones again and again, which takes as long."""
    part = np.random.default_rng(0).standard_normal((BLOCK, dim), np.float32)
    part /= np.linalg.norm(part, axis=1, keepdims=True)
    with path.open("wb") as file:
        for start in range(0, count, BLOCK):
            file.write(part[: count - start].data)
    rows = np.memmap(path, np.float32, "r", 0, (count, dim))
    return Matrix(rows, (Part("a", "", 0, count),))


def _best(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
