"""A score with its interval, and the interval of a mean over folds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the interval around it.

    Attributes:
        value: on all data.
        low, high: ends; None where there is too little data to tell them.
        resamples: on which the ends rest; 0 where they come from a formula.
        undefined: further resamples that were left out, because a class was missing in them.
    """

    value: float
    low: float | None
    high: float | None
    resamples: int = 0
    undefined: int = 0

    def document(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """Write it as 0.812 (0.754 to 0.866)."""
        ends = "" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{ends}"


def student_t(values: Sequence[float], level: float = 0.95) -> Interval:
    """Give the mean over folds with its interval from Student's t distribution.

    Folds share training data, so the interval is somewhat too narrow; it is the usual one.

    Args:
        values: one per fold, at least one; a single fold has no interval.
        level: of the interval.
    """
    require_level(level)
    folds = np.asarray(values, np.float64)
    if not len(folds) or not np.isfinite(folds).all():
        raise ValueError(f"need at least one finite value per fold, got {list(values)}")
    mean = float(folds.mean())
    if len(folds) < 2:
        return Interval(mean, None, None)
    error = float(folds.std(ddof=1)) / len(folds) ** 0.5
    reach = float(stats.t.ppf((1 + level) / 2, len(folds) - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


def require_level(level: float) -> None:
    """Refuse a level that is no probability.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
