"""Scores of a probe on test rows with intervals over patients, and two probes on one resample."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.probe.cases import Indices
from models.scores import Comparison, Interval, bootstrap_each, paired_bootstrap_each, weighted
from models.scores.resampling import ScoreEach
from models.scores.weighted import Floats

Metric = Literal["balanced_accuracy", "accuracy", "macro_auroc"]
METRICS: tuple[Metric, ...] = get_args(Metric)
Further = Literal["macro_f1"]


def judge(
    labels: Indices,
    scores: NDArray[np.float64],
    patients: Indices,
    *,
    seed: int,
    resamples: int = 1000,
) -> dict[Metric, Interval | None]:
    """Give every metric with its 95 % interval; None where it is not defined.

    Classes that no test row has are left out of the two means over classes.

    Args:
        labels: class of each test row, (m,).
        scores: of each class, (m, C).
        patients: of each test row, (m,).
        seed: of the resamples.
        resamples: of whole patients; those without one of the classes are left out and counted.
    """
    return {
        name: bootstrap_each(make(labels, scores), patients, seed=seed, resamples=resamples)
        for name, make in SCORES.items()
    }


def compare(
    labels: Indices,
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
    patients: Indices,
    *,
    seed: int,
    resamples: int = 1000,
) -> dict[Metric, Comparison | None]:
    """Compare two probes' scores of the same rows, (m, C) each, on the same resamples."""
    first, second = pair
    return {
        name: paired_bootstrap_each(
            make(labels, first), make(labels, second), patients, seed=seed, resamples=resamples
        )
        for name, make in SCORES.items()
    }


def _balanced_accuracy(labels: Indices, scores: NDArray[np.float64]) -> ScoreEach:
    predicted, classes = scores.argmax(axis=1), np.unique(labels)
    return lambda weights: weighted.balanced_accuracy(labels, predicted, weights, classes)


def _accuracy(labels: Indices, scores: NDArray[np.float64]) -> ScoreEach:
    predicted = scores.argmax(axis=1)
    return lambda weights: weighted.accuracy(labels, predicted, weights)


def _macro_auroc(labels: Indices, scores: NDArray[np.float64]) -> ScoreEach:
    classes = np.unique(labels)

    def each(weights: Floats) -> Floats:
        areas = [weighted.auroc(labels == c, scores[:, c], weights) for c in classes]
        return np.asarray(np.mean(areas, axis=0), np.float64)

    return each


SCORES: dict[Metric, Callable[[Indices, NDArray[np.float64]], ScoreEach]] = {
    "balanced_accuracy": _balanced_accuracy,
    "accuracy": _accuracy,
    "macro_auroc": _macro_auroc,
}
"""Makes a score of many resamples from labels (m,) and scores (m, C)."""


def _macro_f1(labels: Indices, scores: NDArray[np.float64]) -> ScoreEach:
    predicted, classes = scores.argmax(axis=1), np.unique(labels)
    return lambda weights: weighted.macro_f1(labels, predicted, weights, classes)


FURTHER: dict[Further, Callable[[Indices, NDArray[np.float64]], ScoreEach]] = {
    "macro_f1": _macro_f1
}
"""Scores that are asked for by name; probes do not give them."""
