"""Whether embeddings have collapsed: measures that need no classifier (METHODS 2.7)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_ROWS = 4096
"""Rows that are looked at: pairs grow with the square."""


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
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    std = float(rows.std(axis=0).mean())
    distances = np.maximum(2 - 2 * rows @ rows.T, 0.0)  # squared, of vectors of length 1
    alike = (label[:, None] == label) & (patient[:, None] != patient)
    return Health(
        std=std,
        std_of_best=std * rows.shape[1] ** 0.5,
        effective_rank=_effective_rank(rows),
        alignment=float(distances[alike].mean()) if alike.any() else None,
        uniformity=_uniformity(distances),
        rows=len(rows),
        dim=rows.shape[1],
    )


def _effective_rank(rows: NDArray[np.float64]) -> float:
    sizes = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    if sizes.sum() < np.finfo(np.float64).eps:
        return 0.0  # all rows are the same
    shares = sizes / sizes.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _uniformity(distances: NDArray[np.float64]) -> float | None:
    pairs = distances[np.triu_indices(len(distances), 1)]
    return float(np.log(np.exp(-2 * pairs).mean())) if len(pairs) else None
