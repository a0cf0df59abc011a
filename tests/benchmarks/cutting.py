"""How fast patches are cut, by one worker and by a run, against the loops."""

import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tests.benchmarks import loops, slides
from tests.benchmarks.clock import Row, at_least, at_most, rate
from tiling.cut import ShardTask, cut_shard
from tiling.plan import plan_slide
from tiling.prepare import prepare_slide
from tiling.request import CutOptions, SlideSource
from tiling.store import Archive
from tiling.tiler import run
from workflows.cluster import starting_client

NATIVE = CutOptions(mpp=None, patch_size_px=256)
HALF = CutOptions(mpp=0.5, patch_size_px=256, encoding="jpeg:95")
HALF_420 = replace(HALF, encoding="jpeg:95:420")
SMALL = CutOptions(mpp=None, patch_size_px=224, encoding="jpeg:95")
ARCHIVE_SLIDES = 8


def cut_rate(options: CutOptions, repeats: int = 3) -> tuple[float, int]:
    """Cut a planned slide in this process; patches/s and bytes of its shards."""
    archive = Archive.create(str(slides.out("cut")))
    source = SlideSource("slide", str(slides.slide()))
    plan = prepare_slide(source, options, archive.storage, "slide")
    written = 0

    def cut() -> None:
        nonlocal written
        written = sum(
            cut_shard(
                ShardTask(
                    plan.slide,
                    plan.footprint,
                    plan.origins[number * plan.capacity : (number + 1) * plan.capacity],
                    plan.encoding,
                    archive.storage,
                    "slide",
                    number,
                    plan.capacity,
                )
            ).size_bytes
            for number in range(plan.shards)
        )

    return rate(len(plan), cut, repeats), written


def run_rate(options: CutOptions, workers: int, count: int) -> tuple[float, Path]:
    """Plan to commit of an archive of `count` slides; patches/s, the workers being there."""
    out = slides.out(f"run-{workers}")
    sources = [SlideSource(f"s{n}", str(slides.slide(number=n))) for n in range(count)]
    with starting_client(workers, None) as client:
        ready = client()
        ready.wait_for_workers(workers)
        start = time.perf_counter()
        summary = run(sources, options, Archive.create(str(out)), ready)
        seconds = time.perf_counter() - start
    return sum(outcome.patches for outcome in summary.outcomes) / seconds, out


def kept_tile_bytes(path: Path, options: CutOptions) -> int:
    """Bytes of the slide's own tiles that are kept."""
    plan = plan_slide(SlideSource("slide", str(path)), options)
    from wsi import open_slide

    with open_slide(str(path)) as slide:
        counts = slide.native_tiles(0).byte_counts
        cells = plan.coords // 256
        return int(counts[cells[:, 1], cells[:, 0]].sum())


def folder_bytes(path: Path) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def bare_decode(path: str) -> int:
    """Decode all tiles of a slide, and nothing else: what a second process could gain at best."""
    from wsi import open_slide

    with open_slide(path) as slide:
        native = slide.native_tiles(0)
        cells = [(c, r) for r in range(0, native.rows, 2) for c in range(native.columns)]
        for data in native.read_many(cells):
            native.decode(data)
    return len(cells)


def bare_gain() -> float:
    """Give the speed-up of two bare decoding processes over one, in this run on this machine."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    paths = [str(slides.slide(number=n)) for n in range(4)]
    seconds = []
    for workers in (1, 2):
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(abs, range(8)))
            start = time.perf_counter()
            list(pool.map(bare_decode, paths))
            seconds.append(time.perf_counter() - start)
    return seconds[0] / seconds[1]


def measure() -> Iterator[Row]:
    """Give the rows of this file, baselines first."""
    path = slides.slide()
    plan = plan_slide(SlideSource("slide", str(path)), NATIVE)
    read = loops.openslide_reader(path)
    base_out = slides.out("baseline")
    start = time.perf_counter()
    base_bytes = loops.to_zarr(read, plan.coords, 256, base_out)
    base = len(plan) / (time.perf_counter() - start)
    yield Row(f"B: OpenSlide loop to Zarr, {len(plan)} patches of 256 px", base, "patches/s")

    passthrough, _ = cut_rate(NATIVE)
    yield at_least("passthrough, one worker, planned slide", passthrough, base, 25, "B")
    kept = kept_tile_bytes(path, NATIVE)
    archive_rate, out = run_rate(NATIVE, 1, ARCHIVE_SLIDES)
    yield at_least("passthrough, one worker, plan to commit, 8 slides", archive_rate, base, 15, "B")
    share = folder_bytes(out) / (ARCHIVE_SLIDES * kept)
    yield at_most("archive size by bytes of the kept tiles", share, 1.05, "x")
    shutil.rmtree(out)

    yield from _encoded(path, read)
    yield from _lossless(path, read, base, base_bytes)

    one, _ = run_rate(SMALL, 1, ARCHIVE_SLIDES)
    two, _ = run_rate(SMALL, 2, ARCHIVE_SLIDES)
    gain = bare_gain()
    yield Row("two bare decoding processes against one", gain, "x")
    scaling = (two / one) / gain
    yield Row("decode path, 8 slides: one worker", one, "patches/s")
    yield Row(
        "decode path, 8 slides: two workers",
        two,
        "patches/s",
        f"gain {two / one:.2f} by bare gain {gain:.2f}",
        scaling,
        ">= 0.8",
        scaling >= 0.8,
    )


def _encoded(path: Path, read: loops.Read) -> Iterator[Row]:
    for name, options, side, sampling, target in (
        ("0.5 um/px from 0.25, JPEG 95", HALF, 512, "444", 6),
        ("0.5 um/px from 0.25, JPEG 95 4:2:0", HALF_420, 512, "420", 6),
        ("224 px at native mpp, JPEG 95", SMALL, 224, "444", 3),
    ):
        plan = plan_slide(SlideSource("slide", str(path)), options)
        some = plan.coords[:: max(1, len(plan) // 800)]

        work = partial(loops.to_jpeg, read, some, side, options.patch_size_px, sampling)
        base = rate(len(some), lambda work=work: deque(work(), 0), 2)
        ours, _ = cut_rate(options)
        yield Row(f"the same loop with OpenSlide: {name}", base, "patches/s")
        yield at_least(f"{name}, one worker", ours, base, target, "its loop")


def _lossless(path: Path, read: loops.Read, base: float, base_bytes: int) -> Iterator[Row]:
    copied, written = cut_rate(replace(NATIVE, encoding="lossless"))
    yield at_least("lossless on the slide's grid (copied)", copied, base, 2, "B")
    yield at_most("lossless on the slide's grid: bytes by B's", written / base_bytes, 0.6, "x")
    options = replace(SMALL, encoding="lossless")
    plan = plan_slide(SlideSource("slide", str(path)), options)
    some = plan.coords[: len(plan) // 4]
    out = slides.out("baseline-224")
    start = time.perf_counter()
    size = loops.to_zarr(read, some, 224, out)
    slow = len(some) / (time.perf_counter() - start)
    ours, written = cut_rate(options, 1)
    yield Row("B at 224 px", slow, "patches/s")
    yield at_least("lossless off the grid, 224 px (JPEG XL)", ours, slow, 2, "B at 224 px")
    share = (written / len(plan)) / (size / len(some))
    yield at_most("lossless off the grid: bytes by B's at 224 px", share, 0.6, "x")
    shutil.rmtree(out)


def peers() -> Iterator[Row]:
    """Give the same reading job by what users have today, and the limits of this machine."""
    path = slides.slide()
    plan = plan_slide(SlideSource("slide", str(path)), NATIVE)
    some = plan.coords[: len(plan) // 3]
    for name, read in loops.peers(path):
        value = rate(len(some), lambda read=read: loops.read_all(read, some, 256), 1)
        yield Row(f"{name}: read 256 px at level 0", value, "patches/s")
    from wsi import open_slide

    with open_slide(str(path)) as slide:
        native = slide.native_tiles(0)
        cells = [(int(x), int(y)) for x, y in some // 256]
        data = native.read_many(cells)
        decode = rate(len(cells), lambda: [native.decode(tile) for tile in data])
        yield Row("limit: libjpeg-turbo decode of the tile bytes", decode, "patches/s")
        reading = rate(len(cells), lambda: native.read_many(cells))
        yield Row("our native tiles as standalone JPEG", reading, "patches/s")
    counts = native.byte_counts.ravel()
    offsets = np.cumsum(counts)[: len(cells)]
    target = slides.WORK / "copy.bin"

    def copy() -> None:
        with path.open("rb") as source, target.open("wb") as sink:
            for offset, count in zip(offsets.tolist(), counts.tolist(), strict=False):
                source.seek(offset)
                sink.write(source.read(count))

    yield Row("limit: seek, read, write of the tile bytes", rate(len(cells), copy), "patches/s")
    target.unlink()
