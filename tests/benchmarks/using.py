"""Reading for training, memory of a worker, and how long commands take to start."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.benchmarks import slides
from tests.benchmarks.clock import Row, at_least, at_most, rate
from tests.benchmarks.cutting import HALF, NATIVE, SMALL
from tiling.reader import PatchReader
from tiling.request import CutOptions, SlideSource
from tiling.store import Archive
from tiling.tiler import run
from workflows.cluster import starting_client


def reading() -> Iterator[Row]:
    """Give PatchReader against zarr-python on the same store."""
    import zarr

    out = slides.out("reading")
    with starting_client(1, None) as client:
        run([SlideSource("s", str(slides.slide()))], NATIVE, Archive.create(str(out)), client())
    reader = PatchReader(Archive.open(str(out))["s"])
    array = zarr.open_array(str(out / "s" / "patches"), mode="r")
    rng = np.random.default_rng(0)
    single = rng.permutation(len(reader))[:400].tolist()
    theirs = rate(400, lambda: [array[i] for i in single])
    ours = rate(400, lambda: [reader[i] for i in single])
    yield Row("zarr-python array[i], random", theirs, "patches/s")
    yield at_least("PatchReader, random single patches", ours, theirs, 4, "zarr-python array[i]")
    batch = np.sort(rng.permutation(len(reader))[:256])
    theirs = rate(256, lambda: array.oindex[batch], 1)
    ours = rate(256, lambda: reader.read(batch))
    yield Row("zarr-python oindex, 256", theirs, "patches/s")
    yield at_least("PatchReader, batches of 256", ours, theirs, 100, "zarr-python oindex")


def _peak(options: CutOptions, side_px: int) -> float:
    """Peak resident memory of a fresh worker after a whole run, in MB."""
    out = slides.out("memory")
    source = SlideSource("s", str(slides.slide(side_px)))
    with starting_client(1, None) as client:
        ready = client()
        run([source], options, Archive.create(str(out)), ready)
        peaks: dict[str, int] = ready.run(_high_water)
    slides.out("memory")
    return max(peaks.values()) / 1e3


def _high_water() -> int:
    """Peak resident memory of this process in kB; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def memory() -> Iterator[Row]:
    """Give the peak memory of a worker, which must not grow with the slide."""
    for side_px in (24_576, 100_000):
        for name, options in (("passthrough", NATIVE), ("224 px", SMALL), ("0.5 um/px", HALF)):
            peak = _peak(options, side_px)
            yield at_most(f"peak memory of a worker, {side_px} px slide, {name}", peak, 600, "MB")


def commands() -> Iterator[Row]:
    """Give the wall time of commands, best of five."""
    cmu = str(slides.SOURCE)
    out = str(slides.out("fixed"))
    tile = ["tile", cmu, "--out", out, "--quiet", "--mpp", "native", "--patch-size", "240"]
    for name, arguments, limit in (
        ("microtome --help", ["--help"], 0.5),
        ("microtome info", ["info", cmu], 1.0),
        ("fixed cost: microtome tile of a 2 MB slide, all in", [*tile, "--overwrite"], 3.0),
    ):
        seconds = min(_seconds(arguments) for _ in range(3 if "tile" in arguments else 5))
        yield at_most(name, seconds, limit, "s")


def _seconds(arguments: list[str]) -> float:
    slides.out("fixed")
    command = [sys.executable.replace("python3", "python"), "-m", "workflows.cli", *arguments]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start
