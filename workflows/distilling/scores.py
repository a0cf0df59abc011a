"""Scores of students with intervals over patients, and differences on the same resamples."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.distilling.predicting import Predictions
from models.probe.judge import FURTHER, SCORES
from models.scores import bootstrap_each, paired_bootstrap_each, weighted
from models.scores.resampling import ScoreEach
from models.scores.weighted import Floats

METRICS = ("accuracy", "macro_f1", "macro_auroc", "balanced_accuracy")
HEADINGS = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "macro_auroc": "Macro AUROC",
    "balanced_accuracy": "Balanced accuracy",
}
HALF = 0.5
"""Probability from which a class counts as there, where a patch may be of several."""

Make = Callable[[NDArray[np.int64], Floats], ScoreEach]
Document = dict[str, Any]
Column = Callable[[NDArray[np.bool_], Floats, Floats], Floats]
"""Score of one class from truth (n,), probabilities (n,) and weights (R, n)."""


def score(predictions: Predictions, *, resamples: int) -> Document:
    """Give every score as JSON values; None where it is not defined."""
    found: Document = {}
    for name in METRICS:
        made = _made(name, predictions)
        one = bootstrap_each(made, predictions.patient, seed=0, resamples=resamples)
        found[name] = None if one is None else asdict(one)
    return found


def differ(first: Predictions, second: Predictions, *, resamples: int) -> Document:
    """Compare two students of the same patches on the same resamples, first minus second."""
    found: Document = {}
    for name in METRICS:
        compared = paired_bootstrap_each(
            _made(name, first),
            _made(name, second),
            first.patient,
            seed=0,
            resamples=resamples,
        )
        found[name] = (
            None
            if compared is None
            else {"difference": asdict(compared.difference), "p": compared.p}
        )
    return found


def _made(name: str, predictions: Predictions) -> ScoreEach:
    labels, shares = predictions.labels, predictions.probabilities
    if labels.ndim == 1:
        makers: Mapping[Any, Make] = SCORES if name in SCORES else FURTHER
        return makers[name](labels.astype(np.int64), shares)
    return _several(COLUMNS[name], labels, shares)


def _several(column: Column, labels: NDArray[np.integer[Any]], shares: Floats) -> ScoreEach:
    """Average a score over classes, each on the patches where it is known.

    Classes that no patch has, or every one, are left out: there is nothing to tell apart.
    """
    both = [{0, 1} <= set(labels[:, c].tolist()) for c in range(labels.shape[1])]

    def each(weights: Floats) -> Floats:
        columns = []
        for c in np.flatnonzero(both):
            known = labels[:, c] >= 0
            columns.append(column(labels[known, c] == 1, shares[known, c], weights[:, known]))
        if not columns:
            return np.full(len(weights), np.nan)
        return np.asarray(np.mean(columns, axis=0), np.float64)

    return each


COLUMNS: dict[str, Column] = {
    "accuracy": lambda true, share, weights: weighted.accuracy(true, share >= HALF, weights),
    "macro_f1": lambda true, share, weights: weighted.macro_f1(true, share >= HALF, weights, [1]),
    "macro_auroc": weighted.auroc,
    "balanced_accuracy": lambda true, share, weights: weighted.balanced_accuracy(
        true, share >= HALF, weights, [0, 1]
    ),
}
"""Scores of one class where a patch may be of several: their mean over classes is given."""
