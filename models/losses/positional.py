"""The contrastive loss of FCL: positives by position, one at a time in the denominator."""

import torch
from torch import Tensor
from torch.nn import functional

from models.losses.precision import full_precision, widen

NOWHERE = -1e9
"""Logit of what is not in a sum: its share is exactly 0, and so is its gradient."""


def positional_contrast(
    queries: Tensor,
    positives: Tensor,
    near: Tensor,
    negatives: Tensor,
    far: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """Contrast each query with its positives, each against all negatives.

    Y. Wu, D. Zeng, Z. Wang, Y. Shi, J. Hu, Federated Contrastive Learning for Volumetric Medical
    Image Segmentation, MICCAI 2021, arXiv 2204.10983; METHODS 9.2. For a query q with positives P
    and negatives N, and s_k = q k / tau,

        l(q, P, N) = -1/|P| sum over p in P of log[ exp(s_p) / ( exp(s_p) + sum_N exp(s_n) ) ]
                   = 1/|P| sum over p in P of softplus( LSE_N(s) - s_p )

    the mean of logs, where SRCL has the log of a sum. It is 0 where P is empty, and where N is.
    Computed in float32.

    Args:
        queries: rows of length 1, (b, D).
        positives: candidates, rows of length 1, (p, D).
        near: which of them are positives of which query, bool (b, p).
        negatives: candidates, rows of length 1, (n, D).
        far: which of them are in the sum of which query, bool (b, n).
        temperature: tau.

    Returns:
        The loss of each query, float32 (b,).
    """
    with full_precision(queries):
        scaled = widen(queries) / temperature
        others = (scaled @ widen(negatives).T).masked_fill(~far, NOWHERE)
        none = others.new_full((len(others), 1), NOWHERE)  # so that no sum is empty
        level = torch.cat([none, others], dim=1).logsumexp(dim=1, keepdim=True)  # (b, 1)
        each = functional.softplus(level - scaled @ widen(positives).T)  # (b, p)
        count = near.sum(dim=1).clamp(min=1)
        return torch.where(near, each, 0).sum(dim=1) / count
