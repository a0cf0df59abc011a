"""`microtome embed` against the bare forward rate of the same network, and what bf16 changes.

The bare rate is the best of all settings, compiled ones too; it and `embed` run in turn, so that a
noisy machine disturbs both alike.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.embedding.calibrate import bf16_helps
from models.embedding.forward import Forward
from models.embedding.setting import REPRODUCIBLE, Setting
from models.encoders import Encoder, open_encoder
from tests.benchmarks import slides
from tests.benchmarks.clock import Row, at_least, own_environment
from tiling.reader import PatchReader
from tiling.request import CutOptions, SlideSource
from tiling.store import Archive, PatchStore
from tiling.tiler import run
from workflows.cluster import starting_client
from workflows.units import plural

ON_CPU = ("resnet50", "vit_small_patch16_224")
ON_GPU = (
    "resnet50",
    "swin_tiny_patch4_window7_224",
    "vit_small_patch16_224",
    "vit_large_patch16_224",
)
CUT = CutOptions(mpp=None, patch_size_px=224, encoding="jpeg:90")
SIDE_PX = {"cpu": int(os.environ.get("EMBED_SIDE_PX", "4096")), "cuda": 49_152}
"""About 300 patches for a CPU, and 48,000 for a GPU."""
TARGET = 0.9
BATCH = {"cpu": 16, "cuda": 256}
MEASURED_S = 4.0
TURNS = int(os.environ.get("EMBED_TURNS", "2"))
COMPILE = os.environ.get("EMBED_COMPILE", "1") == "1"


@dataclass(frozen=True)
class Bare:
    """The fastest setting of a network, and its rate with pixels on the device."""

    setting: Setting
    rate: float
    others: dict[str, float]


def measure() -> Iterator[Row]:
    """Give each network's rates on this machine's best device."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    archive = _archive(device.type)
    for name in ON_GPU if device.type == "cuda" else ON_CPU:
        yield from _network(name, device, archive)


def _network(name: str, device: torch.device, archive: Path) -> Iterator[Row]:
    pixels = _pixels(Archive.open(str(archive))["s"], BATCH[device.type])
    bares, ends = [], []
    known: tuple[Setting, ...] | None = None
    for _ in range(TURNS):
        bare = bare_rate(open_encoder(name, "random:0"), device, pixels, known)
        known = (bare.setting,)  # the fastest is known after the first turn
        bares.append(bare)
        ends.append(end_to_end(archive, name))
    first = bares[0]
    for setting, rate in first.others.items():
        yield Row(f"{name} on {device.type}, bare, {setting}", rate, "patches/s")
    best = max(bare.rate for bare in bares)
    found = max(ends, key=lambda document: document["patches_per_s"])
    chosen = Setting.recorded(found["setting"])
    what = f"embed, {name} on {device.type}, {plural(found['patches'], 'patch')}, {chosen}"
    yield at_least(what, found["patches_per_s"], best, TARGET, f"bare, {first.setting}")
    yield Row(f"preparation of that run, {name}", found["setup_seconds"], "s")
    yield from cosines(name, device, pixels)


def bare_rate(
    encoder: Encoder, device: torch.device, pixels: Tensor, only: tuple[Setting, ...] | None = None
) -> Bare:
    """Run every setting on pixels that are on the device, prepared there as `embed` does."""
    rates = {}
    for setting in only or _settings(device):
        forward = Forward(encoder, setting, device, len(pixels))
        rates[setting] = _rate(forward, pixels.to(device))
    best = max(rates, key=lambda setting: rates[setting])
    return Bare(best, rates[best], {str(setting): rate for setting, rate in rates.items()})


def _settings(device: torch.device) -> list[Setting]:
    formats = ("float32", "bf16") if bf16_helps(device) else ("float32",)
    every = product(formats, (True, False), (False, True) if COMPILE else (False,))
    return [Setting(*values) for values in every]  # type: ignore[arg-type]


def _rate(forward: Forward, pixels: Tensor) -> float:
    """Patches/s: all that were done in a few seconds, after one batch to warm up."""
    with forward.running():
        forward.rows_of(pixels).cpu()
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + MEASURED_S:
            rows = forward.rows_of(pixels)
            count += len(rows)
        rows.cpu()
        return count / (time.perf_counter() - start)


def end_to_end(archive: Path, name: str) -> dict[str, object]:
    """Run the command in a process of its own; gives its document."""
    command = [sys.executable, "-m", "workflows.cli", "embed", str(archive), "--encoder", name]
    more = ["--weights", "random:0", "--name", f"bench-{time.time_ns()}", "--json", "--quiet"]
    found = subprocess.run(
        [*command, *more], check=True, capture_output=True, text=True, env=own_environment()
    )
    document: dict[str, object] = json.loads(found.stdout)
    return document


def cosines(name: str, device: torch.device, pixels: Tensor) -> Iterator[Row]:
    """Say what bf16 changes: cosine of each patch's features to those of float32."""
    encoder = open_encoder(name, "random:0")
    rows = {}
    sample = pixels[: 8 if device.type == "cpu" else 256]
    for setting in (REPRODUCIBLE, Setting("bf16")):
        forward = Forward(encoder, setting, device, 8)
        with forward.running():
            rows[setting.precision] = forward.rows_of(sample).cpu().numpy().astype(np.float64)
    exact, rough = rows["float32"], rows["bf16"]
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rough, axis=1)
    values = (exact * rough).sum(1) / lengths
    far = 1e6 * (1 - values)
    yield Row(f"1 - cosine of bf16 to float32, {name}, mean", float(far.mean()), "e-6")
    yield Row(f"1 - cosine of bf16 to float32, {name}, most", float(far.max()), "e-6")


def _pixels(store: PatchStore, count: int) -> Tensor:
    return torch.from_numpy(PatchReader(store).read(range(count)))


def _archive(device: str) -> Path:
    side_px = SIDE_PX[device]
    out = slides.out(f"embedding-{side_px}")
    with starting_client(None, None) as client:
        source = SlideSource("s", str(slides.slide(side_px)))
        run([source], CUT, Archive.create(str(out)), client())
    return out
