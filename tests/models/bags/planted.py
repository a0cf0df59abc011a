"""An archive of seven small slides whose embeddings say which patch they are of."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tifffile
from distributed import Client

from models.bags.bag import Bag
from models.encoders.card import EncoderCard
from tests.tiling.archives import InlineClient, options
from tiling.cut import _open
from tiling.embeddings import EmbeddingPlan, array_key, commit, put_shard
from tiling.request import SlideSource
from tiling.store import Archive, PatchStore
from tiling.tiler import run
from tiling.tissue import TissueOptions
from wsi.readers.openslide import OpenSlideSlide
from wsi.synthetic import SvsSpec, write_svs

DIM = 16
PATCH_PX = 64
MPP = 0.5
ENCODER = "planted"
HALF_ENCODER = "planted16"


@dataclass(frozen=True)
class Spec:
    """A slide: its size and resolution, and the part of it that is tissue."""

    mpp: float
    size: tuple[int, int]
    tissue: tuple[tuple[int, int, int, int], ...]
    hole: tuple[int, int, int, int] | None = None
    stride_px: int = PATCH_PX
    bounds: tuple[int, int, int, int] | None = None
    patient: str = ""
    label: str = ""
    split: str = ""


def all_of(width: int, height: int) -> tuple[tuple[int, int, int, int], ...]:
    return ((0, 0, width, height),)


SLIDES = {
    "quarter": Spec(0.25, (640, 512), all_of(640, 512), patient="p1", label="lum", split="train"),
    "half.he": Spec(0.5, (320, 384), all_of(320, 384), patient="p1", label="lum", split="val"),
    "odd": Spec(0.2325, (700, 640), all_of(700, 640), stride_px=32, patient="p2", label="bas"),
    "bounds": Spec(0.5, (512, 512), all_of(512, 512), bounds=(70, 33, 330, 260), patient="p3"),
    "hole": Spec(0.5, (384, 384), all_of(384, 384), hole=(128, 128, 128, 64), label="bas"),
    "single": Spec(0.5, (256, 256), ((64, 128, 64, 64),), patient="p4", label="lum", split="test"),
    "empty": Spec(0.5, (256, 256), ()),
}
"""In level-0 px: boxes are x, y, width, height."""


def ring(box: tuple[int, int, int, int]) -> list[list[int]]:
    x, y, width, height = box
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]


def geojson(spec: Spec) -> str:
    holes = [ring(spec.hole)] if spec.hole else []
    polygons = [{"type": "Polygon", "coordinates": [ring(box), *holes]} for box in spec.tissue]
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in polygons]
    return json.dumps({"type": "FeatureCollection", "features": features})


def cut_slide(folder: Path, archive: Archive, name: str, spec: Spec, cmu_slide: Path) -> None:
    """Write the slide and its mask, and cut it at 0.5 um/px."""
    pixels = np.ascontiguousarray(np.asarray(tifffile.imread(cmu_slide, key=0))[704:1344, 960:1600])
    path, mask = folder / f"{name}.svs", folder / f"{name}.geojson"
    svs = SvsSpec(tile_px=128, mpp=spec.mpp, downsamples=(1, 2), with_associated=False)
    write_svs(path, pixels, spec.size, svs)
    mask.write_text(geojson(spec))
    tissue = TissueOptions(method="geojson", path=str(mask), thumbnail_px=256)
    source = SlideSource(
        name, str(path), patient=spec.patient, site="here", label=spec.label, split=spec.split
    )
    wanted = options(
        mpp=MPP,
        patch_size_px=PATCH_PX,
        stride_px=spec.stride_px,
        tissue=tissue,
        min_tissue=0.6,
    )
    summary = run([source], wanted, archive, cast("Client", InlineClient()))
    assert summary.outcomes[0].state == "done", summary.outcomes[0].error


def plant(store: PatchStore, number: int, dim: int = DIM) -> np.ndarray[Any, Any]:
    """Features `(n, D)`: slide, row, col, x, y, then zeros."""
    made = np.zeros((len(store), dim), np.float32)
    made[:, 0] = number
    made[:, 1:3] = slow_row_col(store)
    made[:, 3:5] = store.coords
    return made


def slow_row_col(store: PatchStore) -> np.ndarray[Any, Any]:
    """Grid indices, from the recorded grid and one patch at a time."""
    grid = store.attributes["grid"]
    found = []
    for x, y in store.coords.tolist():
        row = round((y / grid["downsample"] - grid["origin_y"]) / grid["step_y"])
        col = round((x / grid["downsample"] - grid["origin_x"]) / grid["step_x"])
        found.append((row, col))
    return np.array(found, np.int32).reshape(-1, 2)


def card(dim: int, name: str = ENCODER) -> EncoderCard:
    return EncoderCard(
        name=name,
        method="random",
        architecture="test:planted",
        weights="random:0",
        weights_sha256="0" * 64,
        input_px=PATCH_PX,
        mpp=MPP,
        dim=dim,
        layer="last",
    )


def embed(store: PatchStore, values: np.ndarray[Any, Any], encoder_id: str = ENCODER) -> None:
    """Commit rows as embeddings of a slide."""
    kind = "f2" if values.dtype == np.float16 else "f4"
    plan = EmbeddingPlan(len(values), values.shape[1], kind)
    key = array_key(store.slide_id, encoder_id)
    for number in range(plan.shards):
        rows = plan.rows(number)
        put_shard(store.storage, key, plan, number, values[rows.start : rows.stop])
    known = card(values.shape[1], encoder_id).document()
    commit(store.storage, key, plan, {"card": known, "dtype": values.dtype.name})


def make_archive(folder: Path, cmu_slide: Path, patch: pytest.MonkeyPatch) -> Path:
    """Cut all slides and plant both encoders' embeddings."""
    location = folder / "archive.zarr"
    archive = Archive.create(str(location))
    read = OpenSlideSlide._read_properties
    for number, (name, spec) in enumerate(SLIDES.items()):
        said = named_bounds(spec)
        patch.setattr(OpenSlideSlide, "_read_properties", added(read, said))
        cut_slide(folder, archive, name, spec, cmu_slide)
        values = plant(archive[name], number)
        embed(archive[name], values)
        embed(archive[name], (values / 8).astype(np.float16), HALF_ENCODER)
    while _open:  # what shards kept open: here the worker is this process
        _open.popitem()[1].close()
    return location


def named_bounds(spec: Spec) -> dict[str, str]:
    names = ("bounds-x", "bounds-y", "bounds-width", "bounds-height")
    pairs = zip(names, spec.bounds, strict=True) if spec.bounds else ()
    return {f"openslide.{name}": str(value) for name, value in pairs}


def added(read: Callable[[Any], dict[str, str]], said: dict[str, str]) -> Callable[[Any], Any]:
    return lambda slide: read(slide) | said


def set_status(store: PatchStore, index: int, status: int) -> None:
    """Change what is stored as the status of one patch."""
    values = store.status.copy()
    values[index] = status
    Path(store.storage.root, store.slide_id, "status", "c", "0").write_bytes(values.tobytes())


def bag_of(archive: Path, slide_id: str, encoder_id: str = ENCODER, **choices: Any) -> Bag:
    return Bag(Archive.open(str(archive))[slide_id], encoder_id, **choices)
