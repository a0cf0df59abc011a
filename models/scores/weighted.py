"""Scores of many resamples at once: rows count as often as they were drawn.

`weights` is (R, N): how often each of N rows is in each of R resamples. Every function gives (R,),
NaN where the score is not defined. One sort serves all resamples.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def accuracy(labels: ArrayLike, predicted: ArrayLike, weights: Floats) -> Floats:
    """Share of rows whose class is predicted."""
    right = np.asarray(labels) == np.asarray(predicted)
    return _divide(weights @ right, weights.sum(axis=1))


def balanced_accuracy(
    labels: ArrayLike, predicted: ArrayLike, weights: Floats, classes: ArrayLike
) -> Floats:
    """Mean over `classes` of the share of a class that is predicted; each must occur."""
    label = np.asarray(labels)
    right = label == np.asarray(predicted)
    members = np.asarray(classes)[:, None] == label  # (C, N)
    recalls = _divide(weights @ (members & right).T, weights @ members.T)  # (R, C)
    return np.asarray(recalls.mean(axis=1), np.float64)


def macro_f1(
    labels: ArrayLike, predicted: ArrayLike, weights: Floats, classes: ArrayLike
) -> Floats:
    """Mean over `classes` of 2 TP / (2 TP + FP + FN); each must occur or be predicted."""
    wanted = np.asarray(classes)[:, None]
    members, guessed = wanted == np.asarray(labels), wanted == np.asarray(predicted)  # (C, N)
    hits = 2 * (weights @ (members & guessed).T)
    each = _divide(hits, hits + weights @ (members ^ guessed).T)  # (R, C)
    return np.asarray(each.mean(axis=1), np.float64)


def auroc(positive: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """Chance that a positive row scores above a negative one, ties counted half.

    The Mann-Whitney form of the area under the ROC curve (Hanley & McNeil, Radiology 1982).
    """
    positives, negatives = _by_score(positive, scores, weights)  # (R, B), lowest score first
    below = negatives.cumsum(axis=1) - negatives / 2
    won = (positives * below).sum(axis=1)
    return _divide(won, positives.sum(axis=1) * negatives.sum(axis=1))


def auprc(positive: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """Average precision: precision summed over the steps of recall, no interpolation.

    As scikit-learn's `average_precision_score` defines it.
    """
    positives, negatives = _by_score(positive, scores, weights)
    hits = positives[:, ::-1].cumsum(axis=1)
    taken = (positives + negatives)[:, ::-1].cumsum(axis=1)
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    return _divide((precision * positives[:, ::-1]).sum(axis=1), hits[:, -1])


def _by_score(positive: ArrayLike, scores: ArrayLike, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of positive and of negative rows at each distinct score, ascending, (R, B) each."""
    score, mask = np.asarray(scores), np.asarray(positive, np.bool_)
    order = np.argsort(score, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    drawn, mask = weights[:, order], mask[order]
    return (
        np.add.reduceat(drawn * mask, first, axis=1),
        np.add.reduceat(drawn * ~mask, first, axis=1),
    )


def _divide(above: Floats, below: Floats) -> Floats:
    out = np.full(below.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out
