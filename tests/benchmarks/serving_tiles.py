"""Deep Zoom tiles over HTTP against reading and encoding them, and against OpenSlide's own way.

All of one comparison runs in turns in one go, so that a noisy machine disturbs both alike.
"""

import http.client
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import simplejpeg

from tests.benchmarks import slides
from tests.benchmarks.clock import Row, at_most, own_environment
from tests.benchmarks.http_load import Loaded, load
from wsi import Point, Region, Size, Slide, open_slide
from wsi.area import block_mean

SIDE_PX = 24_576
LAST = 15
"""Deep Zoom level of level 0."""
PROBES = int(os.environ.get("SERVING_PROBES", "150"))
SECONDS = float(os.environ.get("SERVING_SECONDS", "6"))
VIEWERS = 64
MEMORY_MB = 1500.0
OVERHEAD, READY, PEER = 1.5, 5.0, 3.0

Address = tuple[int, int, int]


def measure() -> Iterator[Row]:
    """Give latency, rates, and what many viewers cost."""
    path = slides.slide(SIDE_PX)
    with _service(path) as (port, process):
        yield from _latency(port, path)
        yield from _ready(port, path)
        with _peer(path) as peer:
            yield _against(port, peer)
        yield from _viewers(port, process.pid)


@contextmanager
def _service(path: Path) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """`microtome serve` with the slide registered as `slide`."""
    work = slides.WORK / "serving"
    shutil.rmtree(work, ignore_errors=True)
    words = ["--port", "0", "--work", str(work), "--slides", str(path.parent), "--jobs", "0"]
    command = [sys.executable, "-m", "workflows.cli", "serve", *words, "--requests-per-minute"]
    with _running([*command, "100000000"]) as (line, process):
        port = int(re.search(r":(\d+)$", line)[1])  # type: ignore[index]  # it is there
        asked = http.client.HTTPConnection("127.0.0.1", port)
        body = json.dumps({"path": path.name, "id": "slide"})
        asked.request("POST", "/api/v1/slides", body, {"Content-Type": "application/json"})
        assert asked.getresponse().status == 201
        yield port, process


@contextmanager
def _peer(path: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.benchmarks.serving_openslide", str(path)]
    with _running(command) as (line, _):
        time.sleep(3)  # it says its port before it listens
        yield int(line)


@contextmanager
def _running(command: Sequence[str]) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run a server and give the line that it writes first."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=own_environment(),
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.wait()


def _addresses(level: int, side_px: int, seed: int) -> list[Address]:
    """All tiles of a level in random order."""
    count = -(-(SIDE_PX >> (LAST - level)) // side_px)
    found = [(level, column, row) for column in range(count) for row in range(count)]
    random.Random(seed).shuffle(found)
    return found


def _paths(addresses: Sequence[Address], root: str = "/api/v1/slides/slide_files") -> list[str]:
    return [f"{root}/{level}/{column}_{row}.jpeg" for level, column, row in addresses]


def _bare(slide: Slide, at: Address) -> bytes:
    """Read the region of a tile and encode it: no server, no cache."""
    level, column, row = at
    step = 1 << (LAST - level)
    side = 256 * step
    region = Region(Point(column * side, row * side), 0, Size(side, side))
    pixels = block_mean(slide.read_region(region), step)
    data: bytes = simplejpeg.encode_jpeg(pixels, 85, "RGB", colorsubsampling="420")
    return data


def _latency(port: int, path: Path) -> Iterator[Row]:
    """One client asks for tiles that are nowhere ready; in turn the same tiles are made here."""
    asked = http.client.HTTPConnection("127.0.0.1", port)
    bare, served = [], []
    with open_slide(path) as slide:
        for at in _addresses(LAST - 1, 256, 0)[:PROBES]:
            start = time.perf_counter()
            _bare(slide, at)
            middle = time.perf_counter()
            asked.request("GET", _paths([at])[0])
            answer = asked.getresponse()
            answer.read()
            served.append(time.perf_counter() - middle)
            bare.append(middle - start)
            assert answer.status == 200
    one, other = 1000 * statistics.median(served), 1000 * statistics.median(bare)
    name = "p50 of a rendered tile over HTTP"
    ratio = one / other
    yield Row(
        name,
        one,
        "ms",
        f"reading and encoding it ({other:.2f} ms)",
        ratio,
        "<= 1.5",
        ratio <= OVERHEAD,
    )


def _bare_rate(path: Path, addresses: Sequence[Address]) -> float:
    with open_slide(path) as slide:
        start = time.perf_counter()
        for at in addresses:
            _bare(slide, at)
        return len(addresses) / (time.perf_counter() - start)


def _ready(port: int, path: Path) -> Iterator[Row]:
    """Copied tiles, each asked for once, and ready ones, again and again, at 16 clients."""
    addresses = _addresses(LAST, 256, 1)
    fresh = iter(addresses)
    bare, copied, ready = [], [], []
    for _ in range(3):
        bare.append(_bare_rate(path, list(islice(fresh, PROBES))))
        copied.append(load(port, _paths(list(islice(fresh, 2500))), 16, 60, once=True).per_s)
        again = _paths(addresses[:400])
        load(port, again, 16, 60, once=True)
        ready.append(load(port, again, 16, SECONDS / 3).per_s)
    for name, found in (("copied", copied), ("ready", ready)):
        one, other = statistics.median(found), statistics.median(bare)
        against = f"reading and encoding them ({other:,.0f}/s)"
        ratio = one / other
        yield Row(
            f"{name} tiles, 16 clients", one, "tiles/s", against, ratio, ">= 5", ratio >= READY
        )


def _mixed(side_px: int, seed: int) -> list[Address]:
    """What viewers ask for as they zoom in: as many tiles of each of four levels, none twice."""
    levels = [_addresses(LAST - down, side_px, seed) for down in range(4)]
    most = min(map(len, levels))
    mixed = [at for level in levels for at in level[:most]]
    random.Random(seed).shuffle(mixed)
    return mixed


def _against(port: int, peer: int) -> Row:
    """Both servers at 16 clients, in turns, no tile twice."""
    ours, theirs = _mixed(256, 2), _mixed(254, 2)
    turns, rates = 3, ([], [])  # type: tuple[int, tuple[list[float], list[float]]]
    for turn in range(turns):
        mine = load(port, _paths(ours[turn::turns]), 16, 60, once=True)
        other = load(peer, _paths(theirs[turn::turns], "/slide_files"), 16, 60, once=True)
        assert not mine.errors
        assert not other.errors
        rates[0].append(mine.per_s)
        rates[1].append(other.per_s)
    one, base = statistics.median(rates[0]), statistics.median(rates[1])
    against = f"OpenSlide's Deep Zoom in Flask ({base:,.0f}/s)"
    what = "tiles of four levels, none twice, 16 clients"
    return Row(what, one, "tiles/s", against, one / base, ">= 3", one / base >= PEER)


def _viewers(port: int, pid: int) -> Iterator[Row]:
    """Many viewers, each with tiles of its own and some of the others'."""
    addresses = [at for down in range(6) for at in _addresses(LAST - down, 256, 3)[:1500]]
    random.Random(4).shuffle(addresses)
    found: Loaded = load(port, _paths(addresses), VIEWERS, SECONDS)
    name = f"{VIEWERS} viewers"
    yield at_most(
        f"errors at {VIEWERS} viewers ({found.answers:,} tiles)", found.errors, 0, "errors"
    )
    yield Row(f"p95 of a tile at {VIEWERS} viewers", found.quantile_ms(0.95), "ms")
    yield at_most(f"peak memory of the service after {name}", _peak_mb(pid), MEMORY_MB, "MB")


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]  # Linux
