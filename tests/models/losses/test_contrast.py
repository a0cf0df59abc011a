import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from models.losses.contrast import contrast, mean_contrast
from models.losses.precision import unit_rows
from tests.models.losses.loops import contrast_loop

POSITIVES = [{0}, {1, 4, 6}, {2, 5}]
REMOVED: list[set[int]] = [{3, 4}, set(), {0, 1, 3, 4, 6}]


def _rows(count: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, generator=generator), dim=1)


def _table(sets: list[set[int]]) -> Tensor:
    width = max(len(one) for one in sets)
    return torch.tensor([[*sorted(one), *[-1] * (width - len(one))] for one in sets])


def _mask(sets: list[set[int]], columns: int) -> Tensor:
    return torch.tensor([[j in one for j in range(columns)] for one in sets])


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_each_row_equals_the_sums_of_the_paper(temperature: float) -> None:
    queries, keys, mask = _rows(3, 4, 0), _rows(7, 4, 1), _mask(REMOVED, 7)
    found = contrast(
        queries, keys, _table(POSITIVES), temperature=temperature, removed=lambda rows: mask[rows]
    )
    expected = [
        contrast_loop(query, keys.tolist(), positive, gone, temperature)
        for query, positive, gone in zip(queries.tolist(), POSITIVES, REMOVED, strict=True)
    ]
    assert found.loss.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert found.negatives.tolist() == [4, 4, 0]
    assert found.loss[2] == 0  # nothing but positives is left


def test_with_the_own_key_alone_it_is_a_cross_entropy() -> None:
    queries, keys, own = _rows(5, 8, 0), _rows(9, 8, 1), torch.tensor([3, 0, 8, 4, 5])
    found = contrast(queries, keys, own[:, None], temperature=0.2)
    expected = cross_entropy(queries @ keys.T / 0.2, own, reduction="none")
    torch.testing.assert_close(found.loss, expected)


def test_equal_logits_give_two_tau_log_n() -> None:
    queries, keys = torch.eye(4)[[0] * 6], torch.eye(4)[[1] * 6]
    found = contrast(queries, keys, torch.arange(6)[:, None], temperature=0.3)
    loss = mean_contrast(found, torch.ones(6, dtype=torch.bool), 0.3)
    assert loss.item() == pytest.approx(2 * 0.3 * math.log(6), rel=1e-6)


def test_only_queries_that_count_are_in_the_mean() -> None:
    queries, keys = _rows(4, 8, 0).requires_grad_(), _rows(6, 8, 1)
    found = contrast(queries, keys, torch.arange(4)[:, None], temperature=0.5)
    counted = torch.tensor([True, False, True, False])
    loss = mean_contrast(found, counted, 0.5)
    torch.testing.assert_close(loss, found.loss[[0, 2]].mean())  # 2 tau is 1
    (gradient,) = torch.autograd.grad(loss, queries, retain_graph=True)
    assert gradient[counted].abs().sum() > 0
    assert not gradient[~counted].any()
    nobody = mean_contrast(found, torch.zeros(4, dtype=torch.bool), 0.5)
    assert nobody.item() == 0


def test_a_removed_key_has_no_gradient_and_a_positive_one_none_above_zero() -> None:
    # keys are unit vectors, so a query's components are its similarities
    similarities = _rows(3, 7, 0).requires_grad_()
    mask = _mask(REMOVED, 7)
    found = contrast(
        similarities,
        torch.eye(7),
        _table(POSITIVES),
        temperature=0.2,
        removed=lambda rows: mask[rows],
    )
    (gradient,) = torch.autograd.grad(found.loss.sum(), similarities)
    assert not gradient[mask].any()
    positive = _mask(POSITIVES, 7)
    assert (gradient[positive] <= 0).all()
    assert (gradient[:2][positive[:2]] < 0).all()
    assert (gradient[~positive & ~mask] > 0).all()


def test_more_positives_never_raise_the_loss_and_removing_lies_between() -> None:
    queries, keys, own = _rows(16, 4, 0).double(), _rows(16, 4, 1).double(), torch.arange(16)
    order = (queries @ keys.T).fill_diagonal_(-2).argsort(dim=1, descending=True)
    plain = contrast(queries, keys, own[:, None], temperature=0.1).loss
    before = plain
    for count in range(1, 16):
        chosen = order[:, :count]
        promoted = contrast(
            queries, keys, torch.cat([own[:, None], chosen], dim=1), temperature=0.1
        ).loss
        mask = torch.zeros(16, 16, dtype=torch.bool).scatter_(1, chosen, value=True)
        removed = contrast(
            queries, keys, own[:, None], temperature=0.1, removed=lambda rows, m=mask: m[rows]
        ).loss
        assert (promoted <= before + 1e-12).all()
        assert (promoted <= removed + 1e-12).all()
        assert (removed < plain).all()
        assert count == 15 or (promoted < removed).all()  # equal when nothing else is left
        before = promoted
    assert before.abs().max() < 1e-12  # every key is a positive


def test_the_gradient_agrees_with_differences() -> None:
    queries = _rows(3, 4, 0).double().requires_grad_()
    keys, mask = _rows(7, 4, 1).double().requires_grad_(), _mask(REMOVED, 7)

    def loss(queries: Tensor, keys: Tensor) -> Tensor:
        return contrast(
            queries,
            keys,
            _table(POSITIVES),
            temperature=0.4,
            removed=lambda rows: mask[rows],
            block=2,
        ).loss

    assert torch.autograd.gradcheck(loss, (queries, keys))


def test_half_precision_around_it_changes_nothing() -> None:
    queries, keys, own = _rows(64, 32, 0), _rows(64, 32, 1), torch.arange(64)[:, None]
    expected = contrast(queries, keys, own, temperature=0.07).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert (queries @ keys.T).dtype == torch.bfloat16
        found = contrast(queries, keys, own, temperature=0.07).loss
    assert torch.equal(found, expected)
    assert unit_rows(queries.bfloat16()).dtype == torch.float32
