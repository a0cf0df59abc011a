import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.losses.ntxent import nt_xent
from tests.models.losses.loops import nt_xent_loop


def _rows(count: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, generator=generator), dim=1)


def _loss(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    return nt_xent(first, second, first, second, temperature=temperature)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_it_equals_the_loop_of_algorithm_1(count: int, temperature: float) -> None:
    first, second = _rows(count, 5, 0), _rows(count, 5, 1)
    expected = nt_xent_loop(first, second, temperature)
    assert _loss(first, second, temperature).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_it_equals_lightlys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(sys.prefix, "consumers", "lightly-1.6.0"))  # by `make test`
    lightly = pytest.importorskip("lightly.loss", reason="lightly is not installed: make test")
    first, second = _rows(16, 8, 0).requires_grad_(), _rows(16, 8, 1).requires_grad_()
    theirs = lightly.NTXentLoss(temperature=0.2)(first, second)
    expected = torch.autograd.grad(theirs, (first, second))
    ours = _loss(first, second, 0.2)
    # lightly normalises rows itself: its gradient is ours without the part along the row
    found = [
        g - (g * row).sum(dim=1, keepdim=True) * row
        for g, row in zip(torch.autograd.grad(ours, (first, second)), (first, second), strict=True)
    ]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_patches_at_right_angles_have_a_closed_form(temperature: float) -> None:
    rows = torch.eye(
        6, dtype=torch.float64
    )  # both views of a patch are the same, of two patches orthogonal
    expected = -math.log(math.exp(1 / temperature) / (math.exp(1 / temperature) + 2 * 6 - 2))
    assert _loss(rows, rows, temperature).item() == pytest.approx(expected, rel=1e-9)


def test_wholly_correlated_patches_give_the_log_of_the_others() -> None:
    rows = torch.eye(4)[[0] * 5]  # all 10 views are the same
    assert _loss(rows, rows).item() == pytest.approx(math.log(2 * 5 - 1), rel=1e-5)


def test_views_may_be_swapped_and_patches_permuted() -> None:
    first, second = _rows(9, 4, 0), _rows(9, 4, 1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    expected = _loss(first, second)
    torch.testing.assert_close(_loss(second, first), expected)
    torch.testing.assert_close(_loss(first[order], second[order]), expected)


def test_the_mean_over_ranks_is_the_loss_of_the_whole_batch() -> None:
    first, second = _rows(12, 4, 0), _rows(12, 4, 1)
    parts = [
        nt_xent(
            first[at : at + 4],
            second[at : at + 4],
            first,
            second,
            temperature=0.1,
            offset=at,
        )
        for at in (0, 4, 8)
    ]
    torch.testing.assert_close(torch.stack(parts).mean(), _loss(first, second))


def test_blocks_change_neither_the_loss_nor_its_gradient() -> None:
    first, second = _rows(10, 4, 0).requires_grad_(), _rows(10, 4, 1).requires_grad_()
    expected = _loss(first, second)
    gradients = torch.autograd.grad(expected, (first, second))
    for block in (1, 3, 19, 20):
        found = nt_xent(first, second, first, second, temperature=0.1, block=block)
        torch.testing.assert_close(found, expected)
        for mine, other in zip(torch.autograd.grad(found, (first, second)), gradients, strict=True):
            torch.testing.assert_close(mine, other)
