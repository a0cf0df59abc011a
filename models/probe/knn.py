"""Weighted nearest neighbours on the cosine of embeddings.

Z. Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018,
arXiv 1805.01978, section 3.4: class c gets the sum of exp(cos / tau) over those of the k nearest
training rows that are of class c; tau = .07. k = 20 is our choice.
"""

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from models.probe.tensors import Floats, as_scores, features_tensor, labels_tensor

BLOCK = 1024
"""Test rows that are compared at a time."""


def knn_scores(
    train: ArrayLike,
    labels: ArrayLike,
    test: ArrayLike,
    classes: int,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> Floats:
    """Give every class's share of the neighbours' votes.

    Args:
        train: embeddings (n, D); with fewer than `k` all are neighbours.
        labels: class of each, (n,).
        test: embeddings (m, D).
        classes: number of classes, C.
        k: neighbours.
        temperature: of the weights.

    Returns:
        (m, C), each row sums to 1.
    """
    if k < 1 or temperature <= 0:
        raise ValueError(f"k and temperature must be positive, got {k} and {temperature}")
    keys = _unit(features_tensor(train))
    votes = one_hot(labels_tensor(labels), classes).double()  # (n, C)
    queries = _unit(features_tensor(test))
    near = min(k, len(keys))
    blocks = [_shares(q, keys, votes, near, temperature) for q in torch.split(queries, BLOCK)]
    return as_scores(torch.cat(blocks))


def _shares(queries: Tensor, keys: Tensor, votes: Tensor, k: int, temperature: float) -> Tensor:
    similarity, nearest = (queries @ keys.T).topk(k, dim=1)  # (b, k)
    weights = (similarity.double() / temperature).softmax(dim=1)  # exp(cos / tau), scaled to sum 1
    return torch.einsum("bk,bkc->bc", weights, votes[nearest])


def _unit(rows: Tensor) -> Tensor:
    """Bring rows to length 1; by their largest value first, as squares of large ones overflow."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    return normalize(rows / largest.clamp_min(torch.finfo(rows.dtype).tiny), dim=1)
