"""FedAvg: the weighted mean of models."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def average(states: Sequence[State], counts: Sequence[int]) -> dict[str, Tensor]:
    """Give the mean of states, weighted by n_c / sum n.

    McMahan, Moore, Ramage, Hampson, Agüera y Arcas, Communication-Efficient Learning of Deep
    Networks from Decentralized Data, AISTATS 2017, arXiv 1602.05629, Algorithm 1. Buffers are
    averaged too (our choice, METHODS 9.3); whole numbers are rounded. Summed in float64, in the
    order given, so that equal models stay exactly what they are.

    Args:
        states: of one architecture, at least one.
        counts: n_c, patches of each, positive.

    Raises:
        ValueError: nothing is to be averaged, or the counts do not fit.
    """
    if not states or len(states) != len(counts) or min(counts) < 1:
        raise ValueError(f"{len(states)} states with counts {list(counts)} have no mean")
    total = sum(counts)
    return {name: _mean([s[name] for s in states], counts, total) for name in states[0]}


def _mean(tensors: Sequence[Tensor], counts: Sequence[int], total: int) -> Tensor:
    first = tensors[0]
    found = torch.zeros(first.shape, dtype=torch.float64)
    for tensor, count in zip(tensors, counts, strict=True):
        found += tensor.double() * (count / total)
    if not first.dtype.is_floating_point:
        found = found.round()
    return found.to(first.dtype)
