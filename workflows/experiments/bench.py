"""The rows of an experiment: who teaches, who tests, and what was found of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.probe import Cases, Split, choose_split, label_fraction, read_cases
from models.probe.cases import Indices
from models.probe.pixels import archive_pixels
from models.probe.tuned import Pixels
from tiling.store import Archive
from workflows.experiments.config import ExperimentBase
from workflows.experiments.pooling import Truth
from workflows.units import plural


@dataclass(frozen=True)
class Bench:
    """The same rows for all cells.

    Attributes:
        pixels: reads patches.
    """

    config: ExperimentBase
    archive: Archive
    cases: Cases
    split: Split
    pixels: Pixels

    @classmethod
    def prepare(cls, config: ExperimentBase) -> "Bench":
        """Read the labels, and split them as the manifest says.

        Raises:
            LabelsError: there are no labels, or a side of the split is empty.
            DataError: patches are no 8-bit RGB.
            StoreError: there is no archive.
        """
        archive = Archive.open(config.archive)
        cases = read_cases(archive)
        split = choose_split(cases, "manifest", train=config.train_split, test=config.test_split)
        return cls(config, archive, cases, split, archive_pixels(archive, cases))

    @property
    def truth(self) -> Truth:
        """Class and patient of every test row."""
        test = self.split.test
        return Truth(self.cases.label[test], self.cases.patient[test])

    def share(self, fraction: float, seed: int) -> Indices:
        """Rows that a share of the labels teaches with."""
        unit = self.config.fraction_unit
        return label_fraction(self.cases, self.split.train, fraction, unit=unit, seed=seed)

    @property
    def fingerprint(self) -> str:
        """Hash of the rows, their classes and their sides."""
        cases = self.cases
        found = hashlib.sha256("\0".join((*cases.slide_ids, *cases.names)).encode())
        for values in (cases.slide, cases.index, cases.patient, cases.label):
            found.update(np.ascontiguousarray(values, np.int64).tobytes())
        for side in (self.split.train, self.split.test):
            found.update(np.ascontiguousarray(side, np.int64).tobytes())
        return found.hexdigest()

    def about(self) -> dict[str, Any]:
        """Say what was learned and tested on which data."""
        split, cases = self.split, self.cases
        sides = {"train": split.train, "test": split.test}
        guess = int(np.bincount(cases.label[split.train]).argmax())
        return {
            "archive": self.config.archive,
            "name": Path(self.config.archive.rstrip("/")).name,
            "config": self.config.model_dump(mode="json"),
            "split": {side: self.counted(rows) for side, rows in sides.items()},
            "classes": [
                {"name": name}
                | {
                    side: self.counted(rows[cases.label[rows] == number])
                    for side, rows in sides.items()
                }
                for number, name in enumerate(cases.names)
            ],
            "most_frequent": {
                "class": cases.names[guess],
                "accuracy": float((self.truth.labels == guess).mean()),
                "balanced_accuracy": 1 / len(np.unique(self.truth.labels)),
                "macro_auroc": 0.5,
            },
        }

    @property
    def leaks(self) -> list[str]:
        """Say what is on both sides of the split."""
        split = self.split
        if not split.leaky:
            return []
        patients = plural(split.shared_patients, "patient")
        slides = plural(split.shared_slides, "slide")
        return [f"{patients} and {slides} are on both sides of the split: every score is too good"]

    def counted(self, rows: Indices) -> dict[str, int]:
        """Count patches, slides and patients of rows."""
        return {
            "patches": len(rows),
            "slides": len(np.unique(self.cases.slide[rows])),
            "patients": len(np.unique(self.cases.patient[rows])),
        }
