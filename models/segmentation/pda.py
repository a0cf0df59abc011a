"""Progressive dropout attention: hides where a class shows most, more of it in every epoch."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.losses.precision import full_precision, widen

PdaName = Literal["code", "paper"]
FLOOR = 0.65
FIRST = 3
"""Epoch, counted from 0, from which attention is used: the fourth (source)."""


@dataclass(frozen=True, slots=True)
class PdaSchedule:
    """How mu falls from epoch to epoch (METHODS 10.3).

    Attributes:
        factor: that mu is multiplied with after an epoch.
        plain: first epochs after which it is not.
        clamped: mu ends at the floor; else at the first value that is below it.
    """

    factor: float
    plain: int
    clamped: bool

    def mu(self, epoch: int) -> float | None:
        """Give mu of an epoch, counted from 0; None where attention is not used yet.

        The paper's mu of 1 in its first three epochs drops nothing, and is taken as no attention
        (our choice: the source uses none in them either).
        """
        if epoch < FIRST:
            return None
        mu = 1.0
        for _ in range(epoch - self.plain):
            if mu <= FLOOR:
                break
            mu *= self.factor
        return max(mu, FLOOR) if self.clamped else mu


PDA: dict[PdaName, PdaSchedule] = {
    "code": PdaSchedule(0.98, 0, clamped=False),
    "paper": PdaSchedule(0.985, 2, clamped=True),
}
"""Both published schedules; `code` is the default (our choice)."""


def drop_peaks(scores: Tensor, mu: float) -> Tensor:
    """Set to 0 what is above mu times the largest of its image and class; (B, C, h, w) >= 0."""
    limit = mu * scores.amax(dim=(2, 3), keepdim=True)
    return torch.where(scores > limit, 0.0, scores)


def attention(maps: Tensor, weights: Tensor, mu: float) -> Tensor:
    """Give A, (B, 1, h, w), at least 0.

    Han, Lin, Mai, Wang et al., Multi-Layer Pseudo-Supervision for Histopathology Tissue Semantic
    Segmentation using Patch-level Classification Labels, 2022, arXiv 2110.08048; METHODS 10.3:

        M_k = ReLU(sum_c w_kc m_c)     beta_k = mu max(M_k), per image and class
        M'_k = M_k where M_k <= beta_k, else 0     A = (1/C) sum_k M'_k

    Gradients flow through A and the weights; A is not normalised.

    Args:
        maps: m, of the last layer, (B, D, h, w).
        weights: w, of the classifier, (C, D).
        mu: in (0, 1]; 1 drops nothing.
    """
    with full_precision(maps):
        scores = torch.einsum("bdhw,cd->bchw", widen(maps), widen(weights)).relu()
        return drop_peaks(scores, mu).mean(dim=1, keepdim=True)
