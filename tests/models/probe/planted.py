"""Archives with known labels, tiny pixels and planted embeddings, written without any import."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders import EncoderCard
from tiling import zarrjson
from tiling.embeddings import EmbeddingPlan, array_key, commit, put_shard
from tiling.encoding import parse_encoding
from tiling.labels import Labels, add_array
from tiling.store import DOCUMENT, Archive, SlideWriter, slide_document

NAMES = ("benign", "tumour")
PX = 16


@dataclass(frozen=True)
class Planted:
    """One slide; labels are numbers of `NAMES`, None for a slide without labels."""

    slide_id: str
    labels: Sequence[int] | None
    patient: str = ""
    split: str = ""
    label: str = ""
    status: Sequence[int] | None = None
    names: tuple[str, ...] = NAMES


def card(name: str, dim: int, /, **changes: Any) -> EncoderCard:
    """A card of an encoder that was never built."""
    known = {
        "name": name,
        "method": "random",
        "architecture": f"timm:{name}",
        "weights": "random:0",
        "weights_sha256": "0" * 64,
        "input_px": PX,
        "dim": dim,
        "layer": "last",
    }
    return EncoderCard(**(known | changes))


def cohort(patients: int, per_patient: int, split: str, first: int = 0) -> list[Planted]:
    """Patients of one slide each, of the two classes in turn."""
    return [
        Planted(f"{split}{i}", [i % 2] * per_patient, f"p{i}", split)
        for i in range(first, first + patients)
    ]


def plant(folder: Path, slides: Sequence[Planted], seed: int = 0) -> Archive:
    """Write slides whose patches of class 1 are brighter."""
    archive, rng = Archive.create(str(folder)), np.random.default_rng(seed)
    encoding = parse_encoding("raw", "")
    for slide in slides:
        count = len(slide.labels) if slide.labels is not None else 4
        writer = SlideWriter(archive.storage, slide.slide_id)
        bright = 60 * np.maximum(slide.labels if slide.labels is not None else [0] * count, 0)
        pixels = rng.integers(60, 120, (count, PX, PX, 3)) + bright[:, None, None, None]
        writer.put_shard(0, [one.tobytes() for one in pixels.astype(np.uint8)], count)
        writer.put_patches_document(count, PX, count, encoding)
        status = np.zeros(count, np.uint8) if slide.status is None else np.array(slide.status)
        writer.put_array("status", zarrjson.small_array(status, "u1"))
        coords = PX * np.stack([np.arange(count), np.zeros(count)], axis=1)
        writer.put_array("coords", zarrjson.small_array(coords, "i4"))
        attributes = {
            "slide_id": slide.slide_id,
            "patient": slide.patient,
            "site": "",
            "labels": {"label": slide.label, "split": slide.split},
            "n_patches": count,
            "patch_size_px": PX,
        }
        archive.storage.write(f"{slide.slide_id}/{DOCUMENT}", [slide_document(attributes)])
        if slide.labels is not None:
            labels = Labels(np.array(slide.labels, np.int32), slide.names, "classes")
            add_array(archive.storage, slide.slide_id, "labels", labels.array())
    return archive


def embed(
    archive: Archive, slide_id: str, encoder_id: str, rows: np.ndarray, **changes: Any
) -> None:
    """Store embeddings (N, D) of one slide."""
    key, dtype = array_key(slide_id, encoder_id), f"f{rows.dtype.itemsize}"
    plan = EmbeddingPlan(len(rows), rows.shape[1], dtype)
    for number in range(plan.shards):
        put_shard(archive.storage, key, plan, number, rows[list(plan.rows(number))])
    made = card(encoder_id, rows.shape[1], **changes)
    commit(archive.storage, key, plan, {"card": made.document()})


def embed_all(
    archive: Archive,
    encoder_id: str,
    signal: float,
    scale: float = 1.0,
    seed: int = 0,
    **changes: Any,
) -> None:
    """Store noise, in which the class moves the first of 8 dimensions by `signal`."""
    from tiling.labels import read_labels

    rng = np.random.default_rng(seed)
    for store in archive.stores():
        rows = rng.normal(size=(len(store), 8)).astype(np.float32)
        found = read_labels(store)
        if found is not None:
            rows[:, 0] += signal * found.values
        embed(archive, store.slide_id, encoder_id, np.float32(scale) * rows, **changes)
