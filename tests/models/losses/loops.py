"""Losses in the papers' words: one sum after the other, in Python's own numbers."""

import math
from collections.abc import Collection, Sequence

from torch import Tensor


def dot(first: Sequence[float], second: Sequence[float]) -> float:
    total = 0.0
    for a, b in zip(first, second, strict=True):
        total += a * b
    return total


def nt_xent_loop(first: Tensor, second: Tensor, temperature: float) -> float:
    """Algorithm 1 of Chen et al. 2020: z of 2 N images, patches at 2 k - 1 and 2 k."""
    z = [row for pair in zip(first.tolist(), second.tolist(), strict=True) for row in pair]
    total = 0.0
    for i in range(len(z)):
        j = i + 1 if i % 2 == 0 else i - 1
        denominator = 0.0
        for k in range(len(z)):
            if k != i:
                denominator += math.exp(dot(z[i], z[k]) / temperature)
        total += -math.log(math.exp(dot(z[i], z[j]) / temperature) / denominator)
    return total / len(z)


def contrast_loop(
    query: Sequence[float],
    keys: Sequence[Sequence[float]],
    positives: Collection[int],
    removed: Collection[int],
    temperature: float,
) -> float:
    """-log[ sum of psi over positives / sum of psi over all that are not removed ]."""
    above = below = 0.0
    for j, key in enumerate(keys):
        psi = math.exp(dot(query, key) / temperature)
        above += psi if j in positives else 0.0
        below += psi if j not in removed else 0.0
    return -math.log(above / below)
