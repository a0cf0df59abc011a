"""What is compared, and on which patches; scores of each probe, and of two on one resample."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoders.card import MPP_TOLERANCE
from models.probe import (
    Cases,
    Features,
    ProbeCard,
    Split,
    choose_split,
    compare,
    judge,
    label_fraction,
    read_cases,
)
from models.probe.cases import Indices
from tiling.store import Archive
from workflows.probing.config import ProbeConfig
from workflows.probing.files import Line
from workflows.version import package_version

Scores = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class Fit:
    """One probe of one encoder on one share of the labels."""

    probe: str
    fraction: float
    encoder: str

    def document(self) -> Line:
        """Give JSON values."""
        return {"encoder": self.encoder, "probe": self.probe, "fraction": self.fraction}


@dataclass(frozen=True)
class Bench:
    """The same rows for all.

    Attributes:
        scores: probabilities of the test rows, (m, C), of each fit so far.
    """

    config: ProbeConfig
    archive: Archive
    cases: Cases
    split: Split
    scores: dict[Fit, Scores] = field(default_factory=dict)

    @classmethod
    def prepare(cls, config: ProbeConfig) -> "Bench":
        """Read the labels and split them."""
        archive = Archive.open(config.archive)
        cases = read_cases(archive, config.labels)
        split = choose_split(
            cases,
            config.split,
            train=config.train_split,
            test=config.test_split,
            test_share=config.test_share,
            seed=config.seed,
        )
        return cls(config, archive, cases, split)

    @property
    def test_labels(self) -> Indices:
        """Class of each test row, (m,)."""
        return self.cases.label[self.split.test]

    def share(self, fraction: float) -> Indices:
        """Rows that a share of the labels teaches with."""
        unit, seed = self.config.fraction_unit, self.config.seed
        return label_fraction(self.cases, self.split.train, fraction, unit=unit, seed=seed)

    def scored(self, fit: Fit, train: Indices, scores: Scores) -> Line:
        """Take note of the scores of a fit; gives its line."""
        self.scores[fit] = scores
        found = judge(self.test_labels, scores, self._patients, **self._resampling)
        return {
            "kind": "score",
            **fit.document(),
            "train": self._counted(train),
            "untaught": list(self._untaught(train)),
            "metrics": {name: one.document() if one else None for name, one in found.items()},
        }

    def probe_card(self, features: Features, train: Indices) -> ProbeCard:
        """Describe a linear probe that these rows taught."""
        place = PurePosixPath(self.archive.location).name
        seen = f"{place}: labels of {len(train):,} patches (split {self.split.how})"
        return ProbeCard(
            encoder_id=features.encoder_id,
            encoder=features.card,
            classes=self.cases.names,
            untaught=self._untaught(train),
            mpp=self._mpp(train),
            data=(*features.card.data, seen),
            versions={"microtome": package_version("microtome") or ""},
        )

    def comparisons(self) -> Iterator[Line]:
        """Compare every two encoders by the same probe on the same labels."""
        for first, second in combinations(self.scores, 2):
            if (first.probe, first.fraction) == (second.probe, second.fraction):
                yield from self._compared(first, second)

    def about(self) -> dict[str, Any]:
        """Say what was compared on which data."""
        guess = int(np.bincount(self.cases.label[self.split.train]).argmax())
        return {
            "config": self.config.model_dump(mode="json"),
            "encoders": list(self.config.encoder),
            "classes": [self._class(number) for number in range(len(self.cases.names))],
            "split": {
                "how": self.split.how,
                "leaky": self.split.leaky,
                "shared_patients": self.split.shared_patients,
                "shared_slides": self.split.shared_slides,
                "train": self._counted(self.split.train),
                "test": self._counted(self.split.test),
            },
            "unlabelled": self.cases.unlabelled,
            "unreadable": self.cases.unreadable,
            "most_frequent": {
                "class": self.cases.names[guess],
                "accuracy": float((self.test_labels == guess).mean()),
                "balanced_accuracy": 1 / len(np.unique(self.test_labels)),
            },
        }

    @property
    def _patients(self) -> Indices:
        return self.cases.patient[self.split.test]

    @property
    def _resampling(self) -> dict[str, int]:
        return {"seed": self.config.seed, "resamples": self.config.resamples}

    def _compared(self, first: Fit, second: Fit) -> Iterator[Line]:
        pair = self.scores[first], self.scores[second]
        found = compare(self.test_labels, pair, self._patients, **self._resampling)
        for metric, one in found.items():
            if one is not None:
                yield {
                    "kind": "comparison",
                    "probe": first.probe,
                    "fraction": first.fraction,
                    "metric": metric,
                    "first": first.encoder,
                    "second": second.encoder,
                    "difference": one.difference.document(),
                    "p": one.p,
                }

    def _untaught(self, train: Indices) -> tuple[str, ...]:
        taught = np.unique(self.cases.label[train])
        names = enumerate(self.cases.names)
        return tuple(name for number, name in names if number not in taught)

    def _mpp(self, train: Indices) -> float | None:
        """Microns per pixel that all slides of these rows have; None where they have not one."""
        ids = [self.cases.slide_ids[slide] for slide in np.unique(self.cases.slide[train])]
        found = [self.archive[name].attributes.get("mpp_effective") for name in ids]
        values = [float(np.mean(pair)) if pair and all(pair) else 0.0 for pair in found]
        same = min(values) > 0 and max(values) <= min(values) * (1 + MPP_TOLERANCE)
        return float(np.mean(values)) if same else None

    def _class(self, number: int) -> dict[str, Any]:
        sides = {"train": self.split.train, "test": self.split.test}
        label = self.cases.label
        counts = {side: self._counted(rows[label[rows] == number]) for side, rows in sides.items()}
        return {"name": self.cases.names[number], **counts}

    def _counted(self, rows: Indices) -> dict[str, int]:
        return {
            "patches": len(rows),
            "slides": len(np.unique(self.cases.slide[rows])),
            "patients": len(np.unique(self.cases.patient[rows])),
        }
