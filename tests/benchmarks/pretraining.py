"""`microtome pretrain`: waiting for data, the share of a GPU that it uses, and large archives."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.augment import open_preset
from models.encoders import open_encoder
from models.ssl.table import METHODS
from models.training.method import Clock, Views
from tests.benchmarks import slides
from tests.benchmarks.clock import Row, at_most
from tiling.request import CutOptions, SlideSource
from tiling.store import Archive
from tiling.tiler import run
from workflows.cluster import starting_client

CUT = CutOptions(mpp=None, patch_size_px=224, encoding="jpeg:90")
MILLION = 1_000_000
LEAST_SHARE = 0.4
"""Of the measured bf16 matmul rate, for MoCo v3 with Swin-T."""
MATMUL = 8192
ON_CPU = {
    "simclr": ("--encoder", "resnet18", "--input-px", "64", "--batch", "64"),
    "mocov3": ("--encoder", "resnet18", "--input-px", "64", "--batch", "64"),
}
ON_GPU = {
    "mocov3": ("--encoder", "ctranspath", "--batch", "512"),
    "simclr": ("--encoder", "resnet50", "--batch", "512"),
}


def measure() -> Iterator[Row]:
    """Give all rows."""
    yield from million()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    archive = _archive(4096 if device == "cpu" else 24_576)
    for method, words in (ON_GPU if device == "cuda" else ON_CPU).items():
        yield from _run(archive, method, words, device)


def million() -> Iterator[Row]:
    """Give the seconds that an archive of a million patches takes to open, in a new process."""
    one = _archive(24_576)
    count = len(Archive.open(str(one))["s"])
    copies = -(-MILLION // count)
    many = slides.out("million")
    shutil.copyfile(one / "zarr.json", _made(many) / "zarr.json")
    for number in range(copies):
        shutil.copytree(one / "s", many / f"s{number:04}", copy_function=os.link)
    code = "import time; from models.data import PatchDataset; t = time.perf_counter(); "
    code += f"d = PatchDataset({str(many)!r}); print(len(d), time.perf_counter() - t)"
    words = [sys.executable, "-c", code]
    told = [subprocess.run(words, capture_output=True, text=True, check=True) for _ in range(3)]
    patches, _ = told[0].stdout.split()
    seconds = min(float(one.stdout.split()[1]) for one in told)
    name = f"PatchDataset opens {int(patches):,} patches of {copies} slides"
    yield at_most(name, seconds, 2.0, "s")
    shutil.rmtree(many)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _archive(side_px: int) -> Path:
    out = slides.WORK / f"patches-{side_px}.zarr"
    if not out.exists():
        source = SlideSource("s", str(slides.slide(side_px)))
        with starting_client(None, None) as client:
            run([source], CUT, Archive.create(str(out)), client())
    return out


def _run(archive: Path, method: str, words: tuple[str, ...], device: str) -> Iterator[Row]:
    folder = slides.WORK / "pretrain"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "workflows.cli", "pretrain", str(archive), "--method", method]
    command += ["--out", str(folder), "--init", "random", "--epochs", "6", "--log-steps", "1"]
    subprocess.run([*command, *words, "--quiet", "--knn-epochs", "0"], check=True)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"][3:]  # the first ones warm up
    waiting = float(np.mean([line["waiting"] for line in steps]))
    rate = float(np.median([line["patches_per_s"] for line in steps]))
    name = f"pretrain {method}, {words[1]} on {device}"
    yield Row(name, rate, "patches/s")
    yield at_most(f"{name}: share of the time waiting for data", waiting, 0.05, "x")
    if device == "cuda":
        yield _share_of_matmul(name, method, words[1], rate)


def _share_of_matmul(name: str, method: str, encoder: str, rate: float) -> Row:
    """Give the share of the measured bf16 matmul rate that forward and backward passes reach."""
    done, most = flops_per_patch(method, encoder) * rate, matmul_flops()
    target = LEAST_SHARE if method == "mocov3" else None
    met = None if target is None else done / most >= target
    text = "" if target is None else f">= {target:g}"
    against = f"bf16 matmul {most / 1e12:.0f} TFLOP/s"
    return Row(
        f"{name}: forward and backward", done / 1e12, "TFLOP/s", against, done / most, text, met
    )


def flops_per_patch(method: str, encoder: str, batch: int = 16) -> float:
    """Count the operations of a step, multiplications and additions, of a patch."""
    recipe = METHODS[method]
    opened = open_encoder(encoder, "random:0")
    made: Any = recipe.make(opened, recipe.method, classes=0, seed=0).train()
    card = opened.card
    preset = open_preset(
        recipe.preset, side_px=card.input_px, mean=card.mean, std=card.std, d4=True
    )
    params = preset.draw(batch, np.random.default_rng(0))
    pixels = torch.zeros(batch, card.input_px, card.input_px, 3, dtype=torch.uint8)
    order = torch.arange(batch)
    views = Views(preset.apply(pixels, params), order, order, None)
    clock = Clock(0, 10, 0, 1)
    with FlopCounterMode(display=False) as counter:
        with torch.no_grad():
            prepared = made.begin_step([views], clock)
        made(views, prepared, 0, clock).loss.backward()
    return float(counter.get_total_flops()) / batch


def matmul_flops() -> float:
    """Measure multiplications and additions per second of a bf16 matrix product on the GPU."""
    a = torch.randn(MATMUL, MATMUL, device="cuda", dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(20):
        torch.cuda.synchronize()
        start = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * MATMUL**3 / best
