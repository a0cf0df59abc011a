"""Trained models in the service's folder, found by the cards that they carry."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from models.encoders.card import EncoderCard
from models.segmentation.card import TissueCard
from service.content.documents import ModelOut
from service.content.redacting import without_places
from workflows.mil.folder import FORMAT, RECORD

DEEPEST = 6
"""Folders below the service's that are looked through."""
SKIPPED = ("cache", "uploads", "slides")
"""Folders of the service that hold no models."""
HEADER_BYTES = 16 << 20
"""Longest header that is read; what is longer is no file of ours."""

SAFE = ".safetensors"
LENGTH_BYTES = 8
"""Such a file begins with the length of its header: https://github.com/huggingface/safetensors#format"""


class Checkpoints:
    """All models under a folder; what was read of a file is remembered until it changes.

    Args:
        work: folder of the service.
    """

    def __init__(self, work: Path) -> None:
        self._work, self._lock = work, threading.Lock()
        self._known: dict[Path, tuple[tuple[int, int], ModelOut | None]] = {}

    def find(self) -> list[ModelOut]:
        """List the models, by path; files that are none of ours, or damaged, are left out."""
        with self._lock:
            before, self._known = self._known, {}
            found = (self._read(path, before) for path in sorted(_files(self._work, 0)))
            return [model for model in found if model is not None]

    def _read(
        self, path: Path, before: dict[Path, tuple[tuple[int, int], ModelOut | None]]
    ) -> ModelOut | None:
        try:
            stat = path.stat()
        except OSError:  # it was taken away meanwhile
            return None
        mark = stat.st_mtime_ns, stat.st_size
        known = before.get(path)
        if known is None or known[0] != mark:
            known = mark, self._describe(path)
        self._known[path] = known
        return known[1]

    def _describe(self, path: Path) -> ModelOut | None:
        try:
            if path.name == RECORD:
                return _mil_run(path, self._work)
            for key, text in _metadata(path).items():
                kind = _kinds().get(key)
                if kind is not None:
                    card = kind.model_validate_json(text)
                    return _described(card, str(path.relative_to(self._work)))
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            pass  # a fold of a MIL run, another program's file, or one being written
        return None


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Give safetensors files and records of runs; no link, archive or hidden folder is followed."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            skipped = entry.name.endswith(".zarr") or (not depth and entry.name in SKIPPED)
            if depth < DEEPEST and not skipped:
                yield from _files(Path(entry.path), depth + 1)
        elif entry.name.endswith(SAFE) or entry.name == RECORD:
            yield Path(entry.path)


def _metadata(path: Path) -> dict[str, str]:
    """Read what a safetensors file says of itself; its tensors are not touched."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes")
        found: dict[str, str] = json.loads(file.read(length)).get("__metadata__") or {}
    return found


def _described(card: BaseModel, path: str) -> ModelOut:
    known: dict[str, Any] = without_places(card.model_dump(mode="json"))
    if isinstance(card, TissueCard):
        named, kind, classes = card.name, card.role, list(card.classes)
        known["palette"] = [list(colour) for colour in card.palette]
        return ModelOut(path=path, kind=kind, name=named, classes=classes, mpp=card.mpp, card=known)
    if not isinstance(card, EncoderCard):
        return _probe(path, card)
    name, mpp = known["name"], known["mpp"]
    return ModelOut(path=path, kind="encoder", name=name, classes=None, mpp=mpp, card=known)


def _probe(path: str, card: BaseModel) -> ModelOut:
    known: dict[str, Any] = without_places(card.model_dump(mode="json"))
    return ModelOut(
        path=path,
        kind="probe",
        name=known["encoder_id"],
        classes=known["classes"],
        mpp=known["mpp"],
        card=known,
    )


def _kinds() -> dict[str, type[BaseModel]]:
    """Cards by the key of a file's metadata; their modules need torch, which takes seconds."""
    from models.encoders.weights import METADATA
    from models.probe.weights import KEY as PROBE
    from models.probe.weights import ProbeCard
    from models.segmentation.model import KEY as TISSUE

    return {METADATA: EncoderCard, TISSUE: TissueCard, PROBE: ProbeCard}


def _mil_run(path: Path, work: Path) -> ModelOut | None:
    """Describe a finished run of `microtome mil train` by its folder, which jobs name."""
    record = json.loads(path.read_text("utf-8"))
    if record.get("format") != FORMAT or "encoder_identity" not in record:
        return None
    kept = ("name", "model", "encoder", "encoder_identity", "classes", "unit", "versions")
    return ModelOut(
        path=str(path.parent.relative_to(work)),
        kind="mil",
        name=str(record.get("name") or path.parent.name),
        classes=[str(name) for name in record["classes"]],
        mpp=None,
        card=without_places({name: record[name] for name in kept if name in record}),
    )
