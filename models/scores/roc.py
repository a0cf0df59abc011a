"""DeLong's variance of the area under the ROC curve, its interval, and the test of two areas.

E. DeLong, D. DeLong, D. Clarke-Pearson, Comparing the areas under two or more correlated receiver
operating characteristic curves, Biometrics 44 (1988); computed from mid-ranks as in X. Sun, W. Xu,
Fast implementation of DeLong's algorithm, IEEE Signal Processing Letters 21 (2014), equations
(5) to (13).

Rows must be independent: one row per patient. Rows of one patient make the interval too narrow;
use `bootstrap` over patients for them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from models.scores.interval import Interval, require_level


@dataclass(frozen=True, slots=True)
class Delong:
    """Two correlated areas under the ROC curve.

    Attributes:
        first, second: each with its interval.
        difference: first minus second.
        p: two-sided p-value of no difference.
    """

    first: Interval
    second: Interval
    difference: Interval
    p: float


def delong(positive: ArrayLike, scores: ArrayLike, level: float = 0.95) -> Interval | None:
    """Give the area under the ROC curve with DeLong's interval, cut at 0 and 1.

    Args:
        positive: whether a row is of the class, (N,).
        scores: higher means more likely, (N,).
        level: of the interval.

    Returns:
        None where a side is empty; no ends where it has one row only.
    """
    require_level(level)
    areas, covariance = _areas(positive, np.asarray(scores, np.float64)[None])
    if areas is None:
        return None
    return _interval(areas[0], covariance[0, 0], level, floor=0.0)


def delong_test(
    positive: ArrayLike, first: ArrayLike, second: ArrayLike, level: float = 0.95
) -> Delong | None:
    """Compare two scores of the same rows.

    Args:
        positive: whether a row is of the class, (N,).
        first: scores (N,).
        second: scores (N,).
        level: of the intervals.

    Returns:
        None where a side has fewer than two rows.
    """
    require_level(level)
    areas, covariance = _areas(positive, np.stack([np.asarray(first), np.asarray(second)]))
    if areas is None or np.isnan(covariance).any():
        return None
    change = areas[0] - areas[1]
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return Delong(
        _interval(areas[0], covariance[0, 0], level, floor=0.0),
        _interval(areas[1], covariance[1, 1], level, floor=0.0),
        _interval(change, variance, level, floor=-1.0),
        _two_sided(change, variance),
    )


def _areas(
    positive: ArrayLike, scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Areas (K,) of K scores (K, N) and their covariance (K, K), NaN with one row on a side."""
    mask = np.asarray(positive, np.bool_)
    if mask.ndim != 1 or scores.shape[1:] != mask.shape:
        raise ValueError(f"need one score per row, got {scores.shape[1:]} for {mask.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are NaN or infinite")
    m, n = int(mask.sum()), int((~mask).sum())  # positive and negative rows
    if not m or not n:
        return None, np.zeros((0, 0))
    ranks = stats.rankdata(scores, axis=1)
    above = (ranks[:, mask] - stats.rankdata(scores[:, mask], axis=1)) / n  # V10 (K, m)
    below = 1 - (ranks[:, ~mask] - stats.rankdata(scores[:, ~mask], axis=1)) / m  # V01 (K, n)
    areas = above.mean(axis=1)
    if min(m, n) < 2:
        return areas, np.full((len(scores),) * 2, np.nan)
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return areas, covariance


def _interval(value: float, variance: float, level: float, floor: float) -> Interval:
    if np.isnan(variance):
        return Interval(float(value), None, None)
    reach = float(stats.norm.ppf((1 + level) / 2)) * max(variance, 0.0) ** 0.5
    return Interval(float(value), max(floor, float(value - reach)), min(1.0, float(value + reach)))


ROUNDING = 1e-15
"""Variances below are zero but for rounding: the scores order all pairs alike."""


def _two_sided(change: float, variance: float) -> float:
    if variance < ROUNDING:
        return 1.0 if abs(change) < ROUNDING**0.5 else 0.0
    return float(2 * stats.norm.sf(abs(change) / variance**0.5))
