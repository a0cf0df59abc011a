"""`microtome map` against the bare networks on the same windows, and what its exports cost.

The bare rate is that of the same segmenter and classifier with pixels on the device; it and `map`
run in turn, so that a noisy machine disturbs both alike.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from models.mapping.forward import GPU_MOST, MapForward
from models.mapping.planning import open_recorded, plan_slide_map
from models.mapping.reading import WindowSource
from models.mapping.request import GateSpec, MapRequest
from models.segmentation.backbone import build_trunk
from models.segmentation.card import TissueCard
from models.segmentation.classifier import Classifier
from models.segmentation.gate import Gate
from models.segmentation.model import open_model, save_model
from models.segmentation.network import SegmenterPlan, build_segmenter
from tests.benchmarks import slides
from tests.benchmarks.clock import Row, at_least, at_most, own_environment
from tiling.request import CutOptions, SlideSource
from tiling.store import Archive
from tiling.tiler import run
from tiling.tissuemap import NO_CLASS, ArrayMap, Legend
from tiling.windows import MapFrame
from workflows.cluster import starting_client
from workflows.mapping.geojson import write_geojson
from workflows.units import plural
from wsi.geometry import Mpp

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ENCODER = {"cpu": "resnet18", "cuda": "resnet101"}
TRUNK = {"cpu": "timm:resnet18", "cuda": "resnet38"}
SIDE_PX = {"cpu": int(os.environ.get("MAP_SIDE_PX", "4096")), "cuda": 32_768}
TURNS = int(os.environ.get("MAP_TURNS", "2"))
POLYGONS_PX = int(os.environ.get("MAP_POLYGONS_PX", "10000"))
LARGE_PX = int(os.environ.get("MAP_LARGE_PX", "100000"))
WINDOW_PX, OVERLAP_PX, CLASSES = 224, 56, ("TE", "NEC", "LYM", "TAS")
MEASURED_S = 4.0
TARGET, POLYGONS_S, MEMORY_MB = 0.85, 60.0, 2000.0


def measure() -> Iterator[Row]:
    """Give the rates, the windows' number, the polygons' time and the memory."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield from _rates()
    yield _polygons()
    yield at_most(
        f"memory of a map of {LARGE_PX:,} x 4,096 px without a model", _memory_mb(), MEMORY_MB, "MB"
    )


def _rates() -> Iterator[Row]:
    archive, model = _archive(), _models()
    bares, ends = [], []
    for _ in range(TURNS):
        bares.append(_bare(archive, model))
        ends.append(_end_to_end(archive, model))
    found = max(ends, key=lambda document: document["windows_per_s"])
    count, mpp_side = found["windows"], SIDE_PX[DEVICE] // 2
    what = f"map, deeplabv3plus on {ENCODER[DEVICE]} with gate, {DEVICE}, {plural(count, 'window')}"
    # rates are of windows, which are patches of the model's size
    yield at_least(what, found["windows_per_s"], max(bares), TARGET, "the bare networks")
    stride = WINDOW_PX - OVERLAP_PX
    per_axis = -(-(mpp_side - OVERLAP_PX) // stride)
    yield Row(
        f"windows of {mpp_side:,} x {mpp_side:,} px of tissue",
        count,
        "windows",
        f"{per_axis**2:,} by the geometry",
        count / per_axis**2,
        "= 1",
        count == per_axis**2,
    )


def _archive() -> Path:
    """One slide, all of which is tissue."""
    from tiling.tissue import TissueOptions

    out = slides.out(f"mapping-{SIDE_PX[DEVICE]}")
    options = CutOptions(mpp=0.5, patch_size_px=256, tissue=TissueOptions(method="none"))
    with starting_client(None, None) as client:
        source = SlideSource("s", str(slides.slide(SIDE_PX[DEVICE])))
        run([source], options, Archive.create(str(out)), client())
    return out


def _models() -> Path:
    folder = slides.WORK / f"mapping-models-{DEVICE}"
    if (folder / "classifier.safetensors").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    known = {"classes": CLASSES, "patch_px": WINDOW_PX, "mpp": 0.5, "name": "bench"}
    encoder, trunk = ENCODER[DEVICE], TRUNK[DEVICE]
    network = build_segmenter(SegmenterPlan(encoder=encoder), len(CLASSES))
    card = {"role": "segmenter", "architecture": "deeplabv3plus", "encoder": encoder}
    path = folder / "segmenter.safetensors"
    save_model(path, network, TissueCard.model_validate(known | card))
    second = {"role": "classifier", "architecture": trunk}
    classifier = Classifier(build_trunk(trunk, {}), len(CLASSES))
    path = folder / "classifier.safetensors"
    save_model(path, classifier, TissueCard.model_validate(known | second))
    return folder


def _bare(archive: Path, model: Path) -> float:
    """Windows/s of the two networks on real windows, pixels on the device."""
    segmenter = open_model(model / "segmenter.safetensors")
    classifier = open_model(model / "classifier.safetensors")
    precision = "bf16" if DEVICE == "cuda" else "float32"
    device = torch.device(DEVICE)
    forward = MapForward(segmenter, classifier, Gate(), precision, device)
    forward.fit_batch(WINDOW_PX)
    store = Archive.open(str(archive))["s"]
    request = MapRequest(
        "bare", segmenter.card, classifier.card, GateSpec(), 0.5, WINDOW_PX, OVERLAP_PX
    )
    with open_recorded(store) as slide:
        source = WindowSource(slide, plan_slide_map(store, slide, request))
        _, pixels = next(source.batches([range(min(forward.batch, GPU_MOST))]))
    moved = pixels.to(device)
    with forward.running():
        forward.probabilities(moved).cpu()
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + MEASURED_S:
            found = forward.probabilities(moved)
            count += len(moved)
        found.cpu()
        return count / (time.perf_counter() - start)


def _end_to_end(archive: Path, model: Path) -> dict[str, float]:
    """Run the command in a process of its own; gives its document."""
    command = [sys.executable, "-m", "workflows.cli", "map", str(archive), "--model", str(model)]
    more = ["--name", f"bench-{time.time_ns()}", "--json", "--quiet"]
    found = subprocess.run(
        [*command, *more], check=True, capture_output=True, text=True, env=own_environment()
    )
    document: dict[str, float] = json.loads(found.stdout)
    return document


def _polygons() -> Row:
    """Seconds for the polygons of a class map of 10^8 pixels, as networks draw them."""
    side = POLYGONS_PX
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 4, (side // 40 + 1, side // 40 + 1), np.uint8)
    coarse[rng.random(coarse.shape) < 0.4] = NO_CLASS
    shift = np.cumsum(rng.integers(-1, 2, side)) % 40  # edges that are not straight
    x = (np.arange(side)[None] + shift[:, None]) // 40 % coarse.shape[1]
    y = (np.arange(side)[:, None] + shift[None]) // 40 % coarse.shape[0]
    classes = coarse[y, x]
    frame = MapFrame(side, side, 0.0, 0.0, 2.0, 2.0, Mpp(0.5, 0.5))
    legend = Legend(CLASSES, ((255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)))
    source = ArrayMap(legend, frame, classes, np.zeros_like(classes))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        count = write_geojson(source, Path(folder) / "m.geojson")
        seconds = time.perf_counter() - start
    what = f"{plural(count, 'polygon')} of a map of {side:,} x {side:,} px"
    return at_most(what, seconds, POLYGONS_S, "s")


def _memory_mb() -> float:
    """Peak of a process that stitches and writes a very wide map, with no model in it."""
    archive = slides.WORK / f"mapping-{SIDE_PX[DEVICE]}.zarr"
    command = [sys.executable, "-m", "tests.benchmarks.large_map", str(archive), str(LARGE_PX)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)
