"""Scores of one set of rows. Ranking scores are given per class, one class against the rest."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.scores import weighted
from models.scores.weighted import Floats

Values = NDArray[Any]

PerClass = tuple[float | None, ...]
"""One value per class; None where it, or every other class, does not occur."""


class _Ranking(Protocol):
    def __call__(self, positive: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats: ...


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float | None:
    """Share of rows, (N,) both, whose class is predicted; None of no rows."""
    label, guess = _same_length(labels, predicted)
    return _only(weighted.accuracy(label, guess, _ones(label)))


def balanced_accuracy(
    labels: ArrayLike, predicted: ArrayLike, classes: ArrayLike | None = None
) -> float | None:
    """Mean over classes of the share of the class that is predicted.

    Args:
        labels: class of each row, (N,).
        predicted: predicted class, (N,).
        classes: that must occur, else there is no score; by default those that do. A bootstrap
            gives the classes of all rows, so that every resample measures the same thing.
    """
    label, guess = _same_length(labels, predicted)
    wanted = np.unique(label if classes is None else np.asarray(classes))
    if not len(wanted):
        return None
    return _only(weighted.balanced_accuracy(label, guess, _ones(label), wanted))


def auroc(labels: ArrayLike, scores: ArrayLike) -> PerClass:
    """Area under the ROC curve per class, one against the rest.

    Args:
        labels: class of each row, (N,).
        scores: higher means more likely, (N, C) with a column per class; or (N,) of class 1 where
            there are two classes.
    """
    return _per_class(weighted.auroc, labels, scores)


def auprc(labels: ArrayLike, scores: ArrayLike) -> PerClass:
    """Area under the precision-recall curve (average precision) per class, one against the rest.

    Args:
        labels: class of each row, (N,).
        scores: as for `auroc`.
    """
    return _per_class(weighted.auprc, labels, scores)


def macro(values: Sequence[float | None]) -> float | None:
    """Mean over classes; None where one of them has no value."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def columns(scores: ArrayLike) -> NDArray[np.float64]:
    """Give scores as (N, C): those of one column (N,) are of class 1 of two.

    Raises:
        ValueError: they have another shape, or are not finite.
    """
    found = np.asarray(scores, np.float64)
    if found.ndim == 1:
        found = np.stack([-found, found], axis=1)
    if found.ndim != 2:
        raise ValueError(f"scores must be (N, C) or (N,), got {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{int((~np.isfinite(found)).sum())} scores are NaN or infinite")
    return found


def _per_class(score: _Ranking, labels: ArrayLike, scores: ArrayLike) -> PerClass:
    label, each = np.asarray(labels), columns(scores)
    _same_length(label, each)
    if not len(label):
        return (None,) * int(each.shape[1])
    occurs = [0 < int((label == c).sum()) < len(label) for c in range(each.shape[1])]
    ones = _ones(label)
    found: list[float | None] = [
        _only(score(label == c, each[:, c], ones)) if known else None
        for c, known in enumerate(occurs)
    ]
    return tuple(found)


def _same_length(labels: ArrayLike, others: ArrayLike) -> tuple[Values, Values]:
    label, other = np.asarray(labels), np.asarray(others)
    if label.ndim != 1 or len(label) != len(other):
        raise ValueError(f"need one label per row, got {label.shape} for {other.shape}")
    return label, other


def _ones(labels: Values) -> Floats:
    return np.ones((1, len(labels)))


def _only(values: Floats) -> float | None:
    return None if np.isnan(values[0]) else float(values[0])
