"""Archives of many slides without pixels, whose embeddings hold a planted answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.encoders.card import EncoderCard
from tiling import zarrjson
from tiling.embeddings import EmbeddingPlan, array_key, commit, put_shard
from tiling.store import Archive, PatchStore, SlideWriter, slide_document

ENCODER = "toy"
STEP = 128
"""Distance of patches in level-0 pixels."""

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Planted:
    """One slide to write.

    Attributes:
        rows: its embeddings, (N, D).
        attributes: that differ from the usual ones.
    """

    slide_id: str
    rows: Floats
    label: str = ""
    patient: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def card(dim: int, **changes: Any) -> EncoderCard:
    usual = {
        "name": ENCODER,
        "method": "random",
        "architecture": "timm:none",
        "weights": "random:0",
        "weights_sha256": "0" * 64,
        "input_px": STEP,
        "dim": dim,
        "layer": "last",
    }
    return EncoderCard(**(usual | changes))


def write_slide(
    archive: Path, planted: Planted, columns: int = 10, encoder: str = ENCODER, **changes: Any
) -> PatchStore:
    """Commit a slide whose patches fill a grid of `columns`; `changes` are the card's."""
    opened = Archive.create(str(archive))
    count = len(planted.rows)
    writer = SlideWriter(opened.storage, planted.slide_id)
    rows, cols = np.divmod(np.arange(count), columns)
    coords = np.stack([cols * STEP, rows * STEP], axis=1)
    writer.put_array("coords", zarrjson.small_array(coords, "i4"))
    writer.put_array("status", zarrjson.small_array(np.zeros(count, np.uint8), "u1"))
    height = max(1, -(-count // columns))
    thumbnail = np.full((height * 16, columns * 16, 3), 220, np.uint8)
    writer.put_array("thumbnail", zarrjson.small_array(thumbnail, "u1"))
    attributes = _attributes(planted, columns, height) | {"checksums": writer.checksums}
    attributes |= dict(planted.attributes)
    opened.storage.write(f"{planted.slide_id}/zarr.json", [slide_document(attributes)])
    embed(opened[planted.slide_id], planted.rows, encoder, **changes)
    return opened[planted.slide_id]


def embed(store: PatchStore, rows: Floats, encoder: str = ENCODER, **changes: Any) -> None:
    """Commit embeddings of a slide that is there."""
    count, dim = rows.shape
    plan = EmbeddingPlan(count, dim, f"f{rows.dtype.itemsize}")
    key = array_key(store.slide_id, encoder)
    for number in range(plan.shards):
        chosen = plan.rows(number)
        put_shard(store.storage, key, plan, number, rows[chosen.start : chosen.stop])
    known = {"card": card(dim, name=encoder, **changes).document(), "dtype": rows.dtype.name}
    commit(store.storage, key, plan, known)


def _attributes(planted: Planted, columns: int, height: int) -> dict[str, Any]:
    grid = {
        "origin_x": 0.0,
        "origin_y": 0.0,
        "step_x": float(STEP),
        "step_y": float(STEP),
        "extent_x": float(STEP),
        "extent_y": float(STEP),
        "columns": columns,
        "rows": height,
        "downsample": 1.0,
    }
    return {
        "slide_id": planted.slide_id,
        "patient": planted.patient,
        "labels": {"label": planted.label, "split": ""},
        "n_patches": len(planted.rows),
        "patch_size_px": STEP,
        "stride_px": STEP,
        "patch_size_level0": [float(STEP), float(STEP)],
        "stride_level0": [float(STEP), float(STEP)],
        "levels": [{"width": columns * STEP, "height": height * STEP, "downsample": 1.0}],
        "mpp": {"x": 0.5, "y": 0.5, "origin": "override"},
        "mpp_effective": [0.5, 0.5],
        "grid": grid,
    }


def planted_cohort(
    *,
    patients: int = 30,
    slides_each: int = 1,
    dim: int = 8,
    patches: tuple[int, int] = (20, 41),
    classes: tuple[str, ...] = ("benign", "tumour"),
    share: float = 0.15,
    seed: int = 0,
    shuffled: bool = False,
) -> list[Planted]:
    """Slides of which `share` of the patches carry their class's own direction, the rest noise.

    Class 0 carries nothing; `shuffled` deals the labels anew, so that there is nothing to learn.
    """
    generator = np.random.default_rng(seed)
    truth = [number % len(classes) for number in range(patients)]
    told = list(generator.permutation(truth)) if shuffled else truth
    slides = []
    for number, (true, label) in enumerate(zip(truth, told, strict=True)):
        for part in range(slides_each):
            rows = generator.standard_normal((int(generator.integers(*patches)), dim))
            carrying = generator.permutation(len(rows))[: max(1, round(share * len(rows)))]
            if true:
                rows[carrying, true - 1] += 6.0
            name = f"s{number:03d}" if slides_each == 1 else f"s{number:03d}-{part}"
            patient = f"p{number:03d}"
            slides.append(Planted(name, rows.astype(np.float32), classes[label], patient))
    return slides


def write_cohort(archive: Path, slides: list[Planted]) -> Path:
    for planted in slides:
        write_slide(archive, planted)
    return archive
