"""Intervals by resampling whole groups (patients), and two scores on the same resamples.

Rows of one patient are alike, so rows drawn one by one would give intervals that are too narrow.
Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.scores.interval import Interval, require_level
from models.scores.weighted import Floats

Rows = NDArray[np.int64]
Score = Callable[[Rows], float | None]
"""Score of the rows of these indices, in any order, repeated as drawn; None where undefined."""
ScoreEach = Callable[[Floats], Floats]
"""Scores (R,) of resamples in which N rows occur (R, N) times; NaN where undefined."""

BLOCK = 1 << 22
"""Entries of `weights` that are held at a time, 32 MB."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two scores of the same rows.

    Attributes:
        first, second: each with its interval.
        difference: first minus second, resample by resample.
        p: two-sided chance of such a difference where there is none; None where it cannot be told.
    """

    first: Interval
    second: Interval
    difference: Interval
    p: float | None


def bootstrap(
    score: Score, groups: ArrayLike, *, seed: int, resamples: int = 1000, level: float = 0.95
) -> Interval | None:
    """Give a score with its interval over resampled groups.

    Args:
        score: of the rows of given indices.
        groups: of each row, (N,), such as the patient; any values that can be sorted.
        seed: of the resamples; the same seed and groups give the same resamples.
        resamples: how many; those without a score are left out and counted.
        level: of the interval.

    Returns:
        None where the score of all rows is not defined.
    """
    return bootstrap_each(_each(score), groups, seed=seed, resamples=resamples, level=level)


def bootstrap_each(
    score: ScoreEach, groups: ArrayLike, *, seed: int, resamples: int = 1000, level: float = 0.95
) -> Interval | None:
    """Do the same as `bootstrap` with a score that takes many resamples at once."""
    require_level(level)
    codes = _codes(groups)
    value = score(np.ones((1, len(codes))))[0]
    if np.isnan(value):
        return None
    drawn = np.concatenate([score(weights) for weights in _weights(codes, seed, resamples)])
    return _percentiles(float(value), drawn, level, codes)


def paired_bootstrap(
    first: Score,
    second: Score,
    groups: ArrayLike,
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> Comparison | None:
    """Compare two scores on the same resamples of the same rows; arguments as for `bootstrap`."""
    scores = _each(first), _each(second)
    return paired_bootstrap_each(*scores, groups, seed=seed, resamples=resamples, level=level)


def paired_bootstrap_each(
    first: ScoreEach,
    second: ScoreEach,
    groups: ArrayLike,
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> Comparison | None:
    """Do the same as `paired_bootstrap` with scores that take many resamples at once."""
    require_level(level)
    codes = _codes(groups)
    all_rows = np.ones((1, len(codes)))
    values = np.array([first(all_rows)[0], second(all_rows)[0]])
    if np.isnan(values).any():
        return None
    blocks = [(first(drawn), second(drawn)) for drawn in _weights(codes, seed, resamples)]
    drawn = np.concatenate([np.stack(pair) for pair in blocks], axis=1)  # (2, R)
    each = [_percentiles(float(v), d, level, codes) for v, d in zip(values, drawn, strict=True)]
    change = drawn[0] - drawn[1]
    difference = _percentiles(float(values[0] - values[1]), change, level, codes)
    return Comparison(each[0], each[1], difference, _two_sided(difference, change))


def _codes(groups: ArrayLike) -> Rows:
    """Number the groups, (N,); their order is that of their values, not of the rows."""
    found = np.asarray(groups)
    if found.ndim != 1 or not len(found):
        raise ValueError(f"need one group per row and at least one row, got {found.shape}")
    return np.asarray(np.unique(found, return_inverse=True)[1], np.int64)


def _weights(codes: Rows, seed: int, resamples: int) -> Iterator[Floats]:
    """Draw as many groups as there are, with replacement; give blocks of (r, N)."""
    if resamples < 1:
        raise ValueError(f"resamples must be positive, got {resamples}")
    count = int(codes.max()) + 1
    # `random` alone, whose stream is the same with every release of numpy
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = (generator.random((resamples, count)) * count).astype(np.int64)
    step = max(1, BLOCK // len(codes))
    for start in range(0, resamples, step):
        block = drawn[start : start + step]
        shifted = block + np.arange(len(block))[:, None] * count
        times = np.bincount(shifted.ravel(), minlength=len(block) * count)
        yield times.reshape(len(block), count)[:, codes].astype(np.float64)


def _each(score: Score) -> ScoreEach:
    def scores(weights: Floats) -> Floats:
        times = weights.astype(np.int64)
        values = [score(np.repeat(np.arange(len(row)), row)) for row in times]
        return np.array([np.nan if value is None else value for value in values])

    return scores


def _percentiles(value: float, drawn: Floats, level: float, codes: Rows) -> Interval:
    known = drawn[~np.isnan(drawn)]
    missing = len(drawn) - len(known)
    if len(known) < 2 or codes.max() < 1:  # one group: every resample is the same
        return Interval(value, None, None, len(known), missing)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), len(known), missing)


def _two_sided(difference: Interval, drawn: Floats) -> float | None:
    """Twice the smaller share of resamples on one side of zero, the data counted as one more."""
    if difference.low is None:
        return None
    known = drawn[~np.isnan(drawn)]
    sides = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (sides + 1) / (len(known) + 1))
