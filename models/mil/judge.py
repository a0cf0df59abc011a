"""How good predictions are, with intervals over patients and over folds; two runs side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import LabelsError
from models.scores import (
    Comparison,
    Interval,
    auprc,
    auroc,
    balanced_accuracy,
    bootstrap_each,
    delong_test,
    macro,
    paired_bootstrap_each,
    student_t,
    weighted,
)
from models.scores.resampling import ScoreEach

Floats = NDArray[np.floating[Any]]

PER_CLASS = ("auroc", "auprc")
OVERALL = ("macro_auroc", "balanced_accuracy", "accuracy")


@dataclass(frozen=True)
class Predictions:
    """Bags that were predicted, in the order of their names.

    Attributes:
        names: of the bags.
        patients: of each bag.
        labels: class of each bag, (N,).
        probabilities: (N, C).
    """

    names: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: Floats

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Most probable class, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    def confusion(self) -> list[list[int]]:
        """Counts of bags by class (rows) and predicted class (columns)."""
        count = self.probabilities.shape[1]
        table = np.zeros((count, count), np.int64)
        np.add.at(table, (self.labels, self.predicted), 1)
        return [[int(n) for n in row] for row in table]


def per_class_scores(found: Predictions) -> dict[str, list[float | None]]:
    """Give AUROC and AUPRC of each class, and lists of one for the scores of all classes."""
    right = found.labels == found.predicted
    areas = list(auroc(found.labels, found.probabilities))
    return {
        "auroc": areas,
        "auprc": list(auprc(found.labels, found.probabilities)),
        "macro_auroc": [macro(areas)],
        "balanced_accuracy": [balanced_accuracy(found.labels, found.predicted)],
        "accuracy": [float(right.mean()) if len(right) else None],
    }


def score_over_patients(
    found: Predictions, *, seed: int, resamples: int = 1000
) -> dict[str, list[Interval | None]]:
    """Give the same scores with their intervals over resampled patients."""
    return {
        name: [
            bootstrap_each(score, found.patients, seed=seed, resamples=resamples)
            for score in scores
        ]
        for name, scores in _scores(found).items()
    }


def score_over_folds(folds: Sequence[Predictions]) -> dict[str, list[Interval | None]]:
    """Give the mean of each score over folds with Student's interval.

    Folds in which a score is not defined are left out; a score that no fold has is None.
    """
    each = [per_class_scores(fold) for fold in folds]
    return {
        name: [_over([fold[name][i] for fold in each]) for i in range(len(each[0][name]))]
        for name in (*PER_CLASS, *OVERALL)
    }


def _over(values: Sequence[float | None]) -> Interval | None:
    known = [value for value in values if value is not None]
    return student_t(known) if known else None


def compare(
    first: Predictions, second: Predictions, *, seed: int, resamples: int = 1000
) -> dict[str, list[dict[str, Any] | None]]:
    """Compare two predictions of the same bags: paired bootstrap over patients, and DeLong's test.

    DeLong's test is given for AUROC, and only where every patient is one bag: it takes bags to be
    independent.

    Raises:
        LabelsError: the bags, their patients or their labels differ.
    """
    _require_same(first, second)
    one, other = _scores(first), _scores(second)
    independent = len(set(first.patients)) == len(first.patients)
    found: dict[str, list[dict[str, Any] | None]] = {}
    for name in (*PER_CLASS, *OVERALL):
        found[name] = []
        for number, scores in enumerate(zip(one[name], other[name], strict=True)):
            compared = paired_bootstrap_each(
                *scores, first.patients, seed=seed, resamples=resamples
            )
            told = None if compared is None else _told(compared)
            if told is not None and name == "auroc" and independent:
                told["delong"] = _delong(first, second, number)
            found[name].append(told)
    return found


def _told(compared: Comparison) -> dict[str, Any]:
    return {
        "first": compared.first.document(),
        "second": compared.second.document(),
        "difference": compared.difference.document(),
        "p": compared.p,
        "delong": None,
    }


def _delong(first: Predictions, second: Predictions, number: int) -> dict[str, Any] | None:
    positive = first.labels == number
    scores = first.probabilities[:, number], second.probabilities[:, number]
    found = delong_test(positive, *scores)
    return None if found is None else {"difference": found.difference.document(), "p": found.p}


def _require_same(first: Predictions, second: Predictions) -> None:
    if first.names != second.names:
        other = sorted(set(first.names) ^ set(second.names))
        raise LabelsError(
            f"the runs predicted other bags ({len(other):,} are in one only, such as {other[:1]}); "
            "train both on the same slides with one --folds-file"
        )
    same = first.patients == second.patients and np.array_equal(first.labels, second.labels)
    if not same or first.probabilities.shape != second.probabilities.shape:
        raise LabelsError("the runs have other labels or patients for the same bags")


def _scores(found: Predictions) -> dict[str, list[ScoreEach]]:
    """Scores of many resamples at once, a list per class or of one."""
    classes = range(found.probabilities.shape[1])
    present = np.unique(found.labels)
    areas = [_ranking(weighted.auroc, found, c) for c in classes]
    return {
        "auroc": areas,
        "auprc": [_ranking(weighted.auprc, found, c) for c in classes],
        "macro_auroc": [lambda drawn: np.mean([area(drawn) for area in areas], axis=0)],
        "balanced_accuracy": [
            partial(weighted.balanced_accuracy, found.labels, found.predicted, classes=present)
        ],
        "accuracy": [partial(weighted.accuracy, found.labels, found.predicted)],
    }


def _ranking(score: Callable[..., Any], found: Predictions, number: int) -> ScoreEach:
    return partial(score, found.labels == number, found.probabilities[:, number])
