"""The folder of a MIL run: what lies in it, and how it is read again.

config.json        what was asked for
folds.csv          part of every patient in every fold; `--folds-file` takes it
fold-0.safetensors the model of a fold, which says itself what it is
metrics.jsonl      one line per fold and epoch
predictions.csv    every bag by the model that has not seen it
report.html        the page
run.json           the result; written last, so a folder without it is no finished run
"""

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from workflows.beside import write_file
from workflows.errors import UsageError
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from models.mil.folds import Folds, Part
    from models.mil.judge import Predictions
    from models.mil.model import MilModel

CONFIG, RECORD, REPORT = "config.json", "run.json", "report.html"
FOLDS, METRICS, PREDICTIONS = "folds.csv", "metrics.jsonl", "predictions.csv"

FORMAT = 1


class RunFolder:
    """A folder on this machine."""

    def __init__(self, place: str) -> None:
        self.path = Path(place).expanduser()

    @property
    def name(self) -> str:
        """Name of the folder, and of what the run leaves elsewhere."""
        return self.path.absolute().name

    def start(self, *, overwrite: bool) -> None:
        """Make the folder; what a broken-off run left is no obstacle.

        Raises:
            UsageError: it holds a finished run, or something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path} is a file; choose a folder")
        there = {p.name for p in self.path.iterdir()} if self.path.is_dir() else set()
        if there and CONFIG not in there:
            raise UsageError(f"--out {self.path} holds other files; choose another folder")
        if RECORD in there and not overwrite:
            raise UsageError(
                f"--out {self.path} holds a finished run; choose another folder, or use --overwrite"
            )
        (self.path / RECORD).unlink(missing_ok=True)
        for old in (REPORT, PREDICTIONS, METRICS, *self._weights()):
            (self.path / old).unlink(missing_ok=True)
        self.path.mkdir(parents=True, exist_ok=True)

    def _weights(self) -> list[str]:
        return sorted(p.name for p in self.path.glob("fold-*.safetensors"))

    def write(self, name: str, text: str) -> str:
        """Write a text file at once; gives its path."""
        return write_file(str(self.path / name), text.encode())

    def write_json(self, name: str, document: Mapping[str, Any]) -> str:
        """Write a JSON file."""
        return self.write(name, json.dumps(document, indent=1) + "\n")

    def weights(self, fold: int) -> Path:
        """File of a fold's model."""
        return self.path / f"fold-{fold}.safetensors"

    def record(self) -> dict[str, Any]:
        """Read the result.

        Raises:
            UsageError: there is no finished run, or it is of a later version.
        """
        try:
            document: dict[str, Any] = json.loads((self.path / RECORD).read_text())
        except FileNotFoundError as err:
            raise UsageError(
                f"no finished run of `microtome mil train` at {self.path}: it has no {RECORD}"
            ) from err
        except (OSError, ValueError) as err:
            raise UsageError(f"cannot read {self.path / RECORD}: {err}") from err
        if document.get("format") != FORMAT:
            raise UsageError(f"{self.path / RECORD} is no record of a MIL run, format {FORMAT}")
        return document

    def models(self, folds: int) -> "list[MilModel]":
        """Read the model of every fold.

        Raises:
            WeightsError: one is missing or damaged.
        """
        from models.mil.checkpoint import load_checkpoint

        return [load_checkpoint(self.weights(fold))[0] for fold in range(folds)]

    def read_predictions(self, classes: Sequence[str], fold: int | None = None) -> "Predictions":
        """Read `predictions.csv`, without the bags that could not be predicted.

        Args:
            classes: their names, in order.
            fold: whose test bags; None reads all.

        Raises:
            UsageError: it is missing or damaged.
        """
        import numpy as np

        from models.mil.judge import Predictions

        numbers = {name: number for number, name in enumerate(classes)}
        try:
            rows = [r for r in _rows(self.path / PREDICTIONS) if r["predicted"] and r["label"]]
            rows = [row for row in rows if fold is None or row["fold"] == str(fold)]
            rows.sort(key=lambda row: row["bag"])
            chances = [[float(row[f"p_{name}"]) for name in classes] for row in rows]
            labels = [numbers[row["label"]] for row in rows]
        except (OSError, KeyError, ValueError) as err:
            raise UsageError(f"cannot read {self.path / PREDICTIONS}: {err}") from err
        return Predictions(
            tuple(row["bag"] for row in rows),
            tuple(row["patient"] for row in rows),
            np.array(labels, np.int64),
            np.array(chances, np.float32).reshape(len(rows), len(classes)),
        )


class BagCounter:
    """Tells how many bags are predicted."""

    def __init__(self, callback: ProgressCallback, started: float) -> None:
        self._callback, self._started = callback, started
        self._done = 0

    def add(self, total: int, bags: int = 1) -> None:
        """Take note of further bags, of `total`."""
        self._done += bags
        elapsed = time.monotonic() - self._started
        update = Update(total, slides_done=self._done, elapsed_s=elapsed, noun="bags")
        self._callback(update)


def predictions_csv(classes: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Give predictions as CSV; numbers have all digits of a float32.

    Args:
        classes: their names.
        rows: with fold, bag, patient, patches, label, predicted and probabilities (or None).
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    head = ["fold", "bag", "patient", "patches", "label", "predicted"]
    writer.writerow([*head, *(f"p_{name}" for name in classes)])
    for row in rows:
        known = row["probabilities"]
        chances = [""] * len(classes) if known is None else [f"{p:.9g}" for p in known]
        writer.writerow([*(row[name] for name in head), *chances])
    return text.getvalue()


def folds_csv(folds: "Folds") -> str:
    """Give folds as CSV: a line per patient, a column per fold with train, validation or test."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["patient", *(f"fold_{number}" for number in range(len(folds)))])
    for patient in sorted(folds[0]):
        writer.writerow([patient, *(parts[patient] for parts in folds)])
    return text.getvalue()


def read_folds(file: str) -> "Folds":
    """Read what `folds_csv` wrote.

    Raises:
        UsageError: the file is missing, or says something else.
    """
    from models.mil.folds import PARTS

    try:
        rows = _rows(Path(file))
    except OSError as err:
        raise UsageError(f"cannot read the folds {file}: {err.strerror}") from err
    names = [name for name in (rows[0] if rows else {}) if name.startswith("fold_")]
    if not names or "patient" not in rows[0]:
        raise UsageError(f"{file} is no file of folds: it needs columns patient, fold_0, fold_1 …")
    for line, row in enumerate(rows, start=2):
        wrong = [row[name] for name in names if row[name] not in PARTS]
        if wrong:
            raise UsageError(f"{file} line {line}: {wrong[0]!r} is none of {', '.join(PARTS)}")
    folds = tuple({row["patient"]: cast("Part", row[name]) for row in rows} for name in names)
    tests = Counter(p for parts in folds for p, part in parts.items() if part == "test")
    once = {row["patient"]: tests[row["patient"]] for row in rows if tests[row["patient"]] != 1}
    if once:
        patient, count = next(iter(once.items()))
        raise UsageError(f"{file}: {patient} is the test part of {count} folds, not of one")
    return folds


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
