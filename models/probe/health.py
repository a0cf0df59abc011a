"""Whether embeddings have collapsed: measures that need no classifier (METHODS 2.7)."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_ROWS = 4096
"""Rows that are looked at: pairs grow with the square."""


class Spread(NamedTuple):
    """How far n embeddings of D dimensions spread, scaled to length 1; see `Health`."""

    std: float
    std_of_best: float
    effective_rank: float


@dataclass(frozen=True, slots=True)
class Health:
    """Measures of n embeddings of D dimensions, scaled to length 1.

    Attributes:
        std: mean over dimensions of the standard deviation; 0 where all rows are the same, and
            at most 1 / sqrt(D). X. Chen, K. He, Exploring simple Siamese representation learning,
            CVPR 2021, arXiv 2011.10566, section 4.1.
        std_of_best: `std` times sqrt(D), so that 1 is the best.
        effective_rank: exponent of the entropy of the normalised singular values, 1 to D; rows
            are centred first. O. Roy, M. Vetterli, The effective rank, EUSIPCO 2007.
        alignment: mean squared distance of two rows of one class and different patients, 0 to 4;
            lower is better. None where there is no such pair.
        uniformity: log of the mean of exp(-2 squared distance) over all pairs; lower is better.
            T. Wang, P. Isola, Understanding contrastive representation learning through alignment
            and uniformity on the hypersphere, ICML 2020, arXiv 2005.10242, equations (2) and (3).
            Differs from the paper: pairs are not two views of an image, which are not stored.
        rows: that were looked at.
        dim: D.
    """

    std: float
    std_of_best: float
    effective_rank: float
    alignment: float | None
    uniformity: float | None
    rows: int
    dim: int

    def document(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)


def measure_health(
    values: ArrayLike, labels: ArrayLike, patients: ArrayLike, rng: np.random.Generator
) -> Health:
    """Measure embeddings; of more than 4,096 a random sample.

    Args:
        values: (n, D), n > 0.
        labels: class of each row, (n,).
        patients: of each row, (n,).
        rng: chooses the sample.
    """
    rows = np.asarray(values, np.float64)
    label, patient = np.asarray(labels), np.asarray(patients)
    if len(rows) > MOST_ROWS:
        chosen = np.sort(np.argsort(rng.random(len(rows)), kind="stable")[:MOST_ROWS])
        rows, label, patient = rows[chosen], label[chosen], patient[chosen]
    rows = _unit(rows)
    spread = _spread(rows)
    distances = np.maximum(2 - 2 * rows @ rows.T, 0.0)  # squared, of vectors of length 1
    alike = (label[:, None] == label) & (patient[:, None] != patient)
    return Health(
        **spread._asdict(),
        alignment=float(distances[alike].mean()) if alike.any() else None,
        uniformity=_uniformity(distances),
        rows=len(rows),
        dim=rows.shape[1],
    )


def measure_spread(values: ArrayLike) -> Spread:
    """Measure embeddings (n, D), n > 0, all of them and without their pairs."""
    return _spread(_unit(np.asarray(values, np.float64)))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return rows / lengths


def _spread(rows: NDArray[np.float64]) -> Spread:
    std = float(rows.std(axis=0).mean())
    return Spread(std, std * rows.shape[1] ** 0.5, _effective_rank(rows))


def _effective_rank(rows: NDArray[np.float64]) -> float:
    """Take singular values from the smaller Gram matrix, in a fifth of the time of the whole."""
    centred = rows - rows.mean(axis=0)
    n, dim = centred.shape
    squares = np.linalg.eigvalsh(centred @ centred.T if n < dim else centred.T @ centred)
    rounding = max(n, dim) * np.finfo(np.float64).eps * max(squares[-1], 0.0)
    sizes = np.sqrt(squares[squares > rounding])
    if sizes.sum() < np.finfo(np.float64).eps:
        return 0.0  # all rows are the same
    shares = sizes / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _uniformity(distances: NDArray[np.float64]) -> float | None:
    pairs = distances[np.triu_indices(len(distances), 1)]
    return float(np.log(np.exp(-2 * pairs).mean())) if len(pairs) else None
