"""Stops what has gone wrong: a loss that is no number, and embeddings that are all alike."""

import math

from torch import Tensor

from models.errors import NumericsError
from models.probe.health import Spread, measure_spread

LEAST_SPREAD = 0.02
"""Of 1 at best, below which embeddings count as collapsed (our choice)."""
LEAST_RANK = 1.5
"""Effective rank below which they do: one direction is all that is left (our choice)."""
PATIENCE = 5
"""Bad looks in a row that make a collapse (our choice)."""
MOST_ROWS = 256
"""Rows that are looked at; a look then costs about 10 ms, and no rank above 255 is told."""


def require_finite(loss: float | Tensor, step: int, what: str = "loss") -> None:
    """Refuse NaN and infinity.

    Args:
        loss: one number.
        step: where it stands.
        what: name of the number.

    Raises:
        NumericsError: the number is not finite; says what to do.
    """
    value = float(loss)
    if not math.isfinite(value):
        raise NumericsError(
            f"the {what} is {value} at step {step}; states saved before are kept. Train anew with "
            "a lower --lr, a longer --warmup-epochs or --precision float32"
        )


class CollapseGuard:
    """Watches whether embeddings become alike.

    A look is bad where the spread (mean standard deviation over dimensions of unit rows times
    sqrt(D), 1 at best) or the effective rank is too small; `patience` bad looks in a row are a
    collapse. It stops nothing itself. Sudden collapse late in training is reported of MoCo v3
    (METHODS 3, traps).

    Args:
        patience: bad looks in a row, at least 1.
        bad_looks: of the run that is resumed, so that it stops where the undisturbed one would.

    Attributes:
        bad_looks: in a row, up to now.
    """

    def __init__(self, patience: int = PATIENCE, bad_looks: int = 0) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1, got {patience}")
        self.bad_looks = bad_looks
        self._patience = patience
        self._health: Spread | None = None

    @property
    def health(self) -> Spread:
        """What the last look saw.

        Raises:
            ValueError: there was none.
        """
        if self._health is None:
            raise ValueError("no embeddings have been looked at yet; call `look` first")
        return self._health

    @property
    def collapsed(self) -> bool:
        """Whether patience is at its end."""
        return self.bad_looks >= self._patience

    def look(self, watched: Tensor, *, warming_up: bool = False) -> Spread:
        """Measure embeddings `(b, D)` on any device; what is bad in the warm-up does not count.

        Raises:
            NumericsError: an embedding is NaN or infinite.
        """
        rows = watched.detach()[:: max(1, len(watched) // MOST_ROWS)][:MOST_ROWS]
        self._health = health = measure_spread(_require_rows(rows.float().cpu()))
        bad = _is_bad(health, min(len(rows) - 1, rows.shape[1]))
        self.bad_looks = self.bad_looks + 1 if bad and not warming_up else 0
        return health


def _is_bad(health: Spread, most: int) -> bool:
    """Whether a look is bad; `most` is the highest rank that so many rows and dimensions have."""
    if most < 1:
        return False  # one row says nothing
    least = min(LEAST_RANK, most / 2)
    return health.std_of_best < LEAST_SPREAD or health.effective_rank < least


def _require_rows(rows: Tensor) -> Tensor:
    wrong = int((~rows.isfinite().all(dim=1)).sum())
    if wrong:
        raise NumericsError(
            f"{wrong} of {len(rows)} embeddings are NaN or infinite; states saved before are kept. "
            "Train anew with a lower --lr, a longer --warmup-epochs or --precision float32"
        )
    return rows
