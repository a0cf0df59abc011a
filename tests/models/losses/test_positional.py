"""The loss of FCL against loops over queries, positives and negatives."""

import math

import pytest
import torch
from torch import Tensor

from models.losses.positional import positional_contrast

TAU = 0.3


def rows(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 5, generator=generator), dim=1)


def mask(shape: tuple[int, int], seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5


def slow(q: Tensor, p: Tensor, near: Tensor, n: Tensor, far: Tensor) -> list[float]:
    """The printed equation, one query and one positive at a time."""
    found = []
    for i in range(len(q)):
        below = sum(math.exp(float(q[i] @ n[j]) / TAU) for j in range(len(n)) if far[i, j])
        logs = []
        for k in range(len(p)):
            if near[i, k]:
                above = math.exp(float(q[i] @ p[k]) / TAU)
                logs.append(-math.log(above / (above + below)))
        found.append(sum(logs) / len(logs) if logs else 0.0)
    return found


def test_agrees_with_loops_over_queries_positives_and_negatives() -> None:
    q, p, n = rows(6, 0), rows(4, 1), rows(9, 2)
    near, far = mask((6, 4), 3), mask((6, 9), 4)
    near[0] = False
    far[1] = False
    found = positional_contrast(q, p, near, n, far, temperature=TAU)
    assert found.tolist() == pytest.approx(slow(q, p, near, n, far), rel=1e-5)
    assert found[0] == 0
    assert found[1] == 0


def test_without_candidates_it_is_zero_and_has_a_gradient_of_zero() -> None:
    q, none = rows(3, 0).requires_grad_(), torch.zeros(0, 5)
    nobody = torch.zeros(3, 0, dtype=torch.bool)
    found = positional_contrast(q, none, nobody, none, nobody, temperature=TAU)
    found.sum().backward()
    assert found.tolist() == [0, 0, 0]
    assert q.grad is not None
    assert not q.grad.any()


def test_gradients_are_finite_where_no_negative_is_left() -> None:
    q, p = rows(3, 0).requires_grad_(), rows(4, 1)
    near, far = torch.ones(3, 4, dtype=torch.bool), torch.zeros(3, 4, dtype=torch.bool)
    positional_contrast(q, p, near, p, far, temperature=0.01).sum().backward()
    assert q.grad is not None
    assert q.grad.isfinite().all()


def test_all_alike_give_the_logarithm_of_how_many_there_are() -> None:
    q = rows(1, 0)
    alike = q.expand(7, -1)
    every = torch.ones(1, 7, dtype=torch.bool)
    found = positional_contrast(q, alike, every, alike, every, temperature=TAU)
    assert found.item() == pytest.approx(math.log(8), rel=1e-6)
