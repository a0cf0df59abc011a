"""What a run tells while it goes on: lines of JSON, and the same numbers for TensorBoard."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from models.errors import MissingExtraError
from models.files import write_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
EVENTS = "events.out.tfevents.*"
DRAWN = ("step", "epoch")
"""Kinds of lines whose numbers are curves; `note` is text, others are kept but not drawn."""
NO_CURVE = ("kind", "step")

Line = Mapping[str, Any]


class Journal:
    """Takes lines of kinds `step`, `epoch`, `note` and others, each with its `step`.

    A line's step counts the optimiser steps that are done, its own included, so the lines of
    `state-<n>.safetensors` are those up to n. A line is with the system as soon as it is written
    and survives a killed process; `flush` makes it survive a failure of power, too.

    Args:
        folder: of the run.
        resume_step: steps of the state that the run goes on from: later lines and a torn one are
            cut off, and TensorBoard hides later events. 0 begins anew: old lines and events go.
        rank: of this process; only rank 0 writes.
        tensorboard: also write event files.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(
        self, folder: Path, resume_step: int, *, rank: int = 0, tensorboard: bool = True
    ) -> None:
        self._path = folder / METRICS
        self._writes = rank == 0
        self._events: SummaryWriter | None = None
        if not self._writes:
            return
        if tensorboard:
            self._events = _open_events(folder / TENSORBOARD, resume_step)
        write_whole(self._path, b"".join(_lines_until(self._path, resume_step)))
        self._file = self._path.open("ab")

    def write(self, line: Line) -> None:
        """Add a line; numbers that JSON does not have become null."""
        if not self._writes:
            return
        text = json.dumps(_plain(line), allow_nan=False)
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        if self._events is not None:
            _draw(self._events, line)
            self._events.flush()

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Read the lines of a kind, those of earlier processes too."""
        found = [json.loads(line) for line in self._path.read_bytes().splitlines()]
        return [line for line in found if line["kind"] == kind]

    def flush(self) -> None:
        """Bring all lines to the disk."""
        if self._writes:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close; nothing can be written afterwards."""
        self.flush()
        if self._writes:
            self._file.close()
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> Self:
        """Give the journal, which is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, whatever happened."""
        self.close()


def _lines_until(path: Path, step: int) -> list[bytes]:
    """Read the whole lines up to a step; what a killed process left half-written is dropped."""
    if step == 0 or not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if _belongs(line, step)]


def _belongs(line: bytes, step: int) -> bool:
    try:
        document = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(document, dict) and document.get("step", 0) <= step


def _open_events(folder: Path, resume_step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            "tensorboard is not installed; this needs: pip install 'microtome[models]'"
        ) from err
    if resume_step == 0:
        for old in folder.glob(EVENTS):
            old.unlink()
        return SummaryWriter(str(folder))
    return SummaryWriter(str(folder), purge_step=resume_step + 1)


def _draw(events: "SummaryWriter", line: Line) -> None:
    """Hand a line to TensorBoard: `step/loss`, `epoch/knn`, `metrics/<name>`, and notes as text."""
    kind, step = line["kind"], line["step"]
    if kind == "note":
        events.add_text(kind, line["text"], step)
    if kind not in DRAWN:
        return
    curves = {f"{kind}/{name}": value for name, value in line.items() if name not in NO_CURVE}
    curves |= {f"metrics/{name}": value for name, value in line.get("metrics", {}).items()}
    for name, value in curves.items():
        if isinstance(value, int | float):
            events.add_scalar(name, value, step)


def _plain(value: Any) -> Any:
    """Put None in the place of NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
