"""Points of ROC and precision-recall curves, one class against the rest."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def roc_points(positive: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> Points:
    """Give the ROC curve from (0, 0) to (1, 1), (K, 2) as false and true positive rate.

    Args:
        positive: whether a row is of the class, (N,); both kinds occur.
        scores: higher means more likely, (N,).
    """
    hits, misses = _counts(positive, scores)
    return np.stack([_share(misses), _share(hits)], axis=1)


def precision_recall_points(
    positive: NDArray[np.bool_], scores: NDArray[np.floating[Any]]
) -> Points:
    """Give the precision-recall curve by rising recall, (K, 2) as recall and precision.

    It starts at recall 0 with the precision of the highest scores.

    Args:
        positive: whether a row is of the class, (N,); at least one is.
        scores: higher means more likely, (N,).
    """
    hits, misses = (counts[1:] for counts in _counts(positive, scores))
    precision = hits / (hits + misses)
    points = np.stack([hits / hits[-1], precision], axis=1)
    return np.concatenate([[[0.0, precision[0]]], points])


def _counts(
    positive: NDArray[np.bool_], scores: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of either kind at or above each distinct score, from the highest on; first none."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    mask = positive[order]
    counts = (np.r_[0, kind.cumsum()[last]] for kind in (mask, ~mask))
    hits, misses = counts
    return hits.astype(np.int64), misses.astype(np.int64)


def _share(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(counts / counts[-1], np.float64)
