"""The contrastive loss of MoCo v3 and of the strategies that change its positives and negatives."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.blocks import by_blocks
from models.losses.precision import full_precision, widen

Removed = Callable[[slice], Tensor | None]
"""Gives, for queries of a slice, the keys that are not in the sum, bool (r, M); None for none."""


class Contrast(NamedTuple):
    """What came of b queries.

    Attributes:
        loss: of each query, float32 `(b,)`, not scaled by the temperature.
        negatives: keys in the sum that are no positive, int64 `(b,)`.
    """

    loss: Tensor
    negatives: Tensor


def contrast(
    queries: Tensor,
    keys: Tensor,
    positives: Tensor,
    *,
    temperature: float,
    removed: Removed | None = None,
    block: int | None = None,
) -> Contrast:
    """Contrast queries with their positives among all keys.

    For query i with positives P and kept keys K: -log[ sum_P psi_j / sum_K psi_j ], with
    psi_j = exp(q_i k_j / temperature), as LSE(kept logits) - LSE(positive logits). With the own
    key as the only positive and all keys kept it is the cross-entropy of MoCo v3 (Chen, Xie, He,
    An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021, arXiv
    2104.02057, equation 1). METHODS 4.3 has the others. Computed in float32.

    Args:
        queries: rows of length 1, (b, D).
        keys: rows of length 1, (M, D); gradients reach them, where they want any.
        positives: indices of keys, int64 (b, P), -1 for none; each row has one at least, and none
            twice. A positive must not be removed.
        temperature: tau.
        removed: keys that are not in the sum; None keeps all.
        block: queries at a time; by default as many as fit into memory.
    """
    with full_precision(queries):
        scaled, keys = widen(queries) / temperature, widen(keys)

        def compute(rows: slice) -> tuple[Tensor, Tensor]:
            gone = removed(rows) if removed is not None else None
            return _contrast_rows(scaled[rows] @ keys.T, positives[rows], gone)

        return Contrast(*by_blocks(compute, len(queries), len(keys), block))


def _contrast_rows(
    logits: Tensor, positives: Tensor, removed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Give loss and number of negatives of each row of logits (r, M)."""
    absent = positives < 0
    positive = logits.gather(1, positives.clamp(min=0)).masked_fill(absent, -torch.inf)
    negatives = logits.shape[1] - (~absent).sum(dim=1)
    if removed is not None:
        logits = logits.masked_fill(removed, -torch.inf)
        negatives = negatives - removed.sum(dim=1)
    return logits.logsumexp(dim=1) - positive.logsumexp(dim=1), negatives


def mean_contrast(found: Contrast, counted: Tensor, temperature: float) -> Tensor:
    """Give 2 tau times the mean over the queries that count; 0 where none does.

    The factor is MoCo v3's (source); METHODS 4.2 keeps it for the other strategies (our choice).

    Args:
        found: of b queries.
        counted: which of them count, bool (b,).
        temperature: tau.
    """
    total = torch.where(counted, found.loss, 0).sum()
    return 2 * temperature * total / counted.sum().clamp(min=1)
