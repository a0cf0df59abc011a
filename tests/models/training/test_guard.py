import numpy as np
import pytest
import torch

from models.errors import NumericsError
from models.probe import measure_health
from models.training.guard import CollapseGuard, require_finite

ALIKE = torch.ones(8, 4)


def _rows(count: int = 64, dim: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn((count, dim), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_a_loss_that_is_no_number_ends_the_run(value: float) -> None:
    with pytest.raises(NumericsError, match=r"the loss is (nan|inf) at step 12; .*lower --lr"):
        require_finite(value, 12)
    with pytest.raises(NumericsError, match="the gradient norm is"):
        require_finite(value, 12, "gradient norm")


def test_a_finite_loss_passes() -> None:
    require_finite(torch.tensor(1e30), 0)
    require_finite(-1.0, 0)


def test_measures_are_those_of_the_probe() -> None:
    rows = _rows() * 3 + 1
    found = CollapseGuard().look(rows.requires_grad_())
    expected = measure_health(rows.detach(), [0] * 64, range(64), np.random.default_rng(0))
    assert found.std_of_best == pytest.approx(expected.std_of_best)
    assert found.effective_rank == pytest.approx(expected.effective_rank)


def test_the_effective_rank_is_that_of_singular_values() -> None:
    for count, dim in ((40, 7), (7, 40)):
        rows = _rows(count, dim).double().numpy() @ np.diag(0.7 ** np.arange(dim))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        sizes = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
        shares = sizes[sizes > 1e-12] / sizes.sum()
        expected = np.exp(-sum(share * np.log(share) for share in shares))
        found = CollapseGuard().look(torch.from_numpy(rows)).effective_rank
        assert found == pytest.approx(expected, rel=1e-5)


def test_rows_that_stay_alike_collapse_after_patience() -> None:
    guard = CollapseGuard(patience=3)
    seen = []
    for _ in range(4):
        guard.look(ALIKE)
        seen.append(guard.collapsed)
    assert seen == [False, False, True, True]
    assert guard.health.std_of_best == pytest.approx(0, abs=1e-6)


def test_one_direction_is_a_collapse_though_rows_differ() -> None:
    line = torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]).repeat(8, 1)
    guard = CollapseGuard(patience=1)
    health = guard.look(line)
    assert health.std_of_best > 0.4
    assert health.effective_rank == pytest.approx(1)
    assert guard.collapsed


def test_a_good_look_forgives_the_bad_ones() -> None:
    guard = CollapseGuard(patience=2)
    for rows in (ALIKE, _rows(), ALIKE):
        guard.look(rows)
        assert not guard.collapsed
    guard.look(ALIKE)
    assert guard.collapsed


def test_what_is_bad_in_the_warm_up_does_not_count() -> None:
    guard = CollapseGuard(patience=1)
    guard.look(ALIKE, warming_up=True)
    assert not guard.collapsed
    guard.look(ALIKE)
    assert guard.collapsed


def test_a_resumed_guard_stops_where_the_undisturbed_one_does() -> None:
    first = CollapseGuard(patience=3)
    first.look(ALIKE)
    first.look(ALIKE)
    second = CollapseGuard(patience=3, bad_looks=first.bad_looks)
    second.look(ALIKE)
    assert second.collapsed


@pytest.mark.parametrize("rows", [_rows(1), _rows(2), _rows(3)], ids=["one", "two", "three"])
def test_few_rows_are_no_collapse(rows: torch.Tensor) -> None:
    guard = CollapseGuard(patience=1)
    guard.look(rows)
    assert not guard.collapsed


def test_two_rows_that_are_alike_are_a_collapse() -> None:
    guard = CollapseGuard(patience=1)
    guard.look(ALIKE[:2])
    assert guard.collapsed


def test_of_many_rows_some_from_all_over_are_looked_at() -> None:
    rows = torch.cat([torch.ones(900, 8), _rows(300, 8)])
    health = CollapseGuard().look(rows)
    assert health.effective_rank > 4
    assert CollapseGuard().look(_rows(5000, 400)).effective_rank < 256


def test_low_precision_rows_are_measured() -> None:
    found = CollapseGuard().look(_rows().bfloat16())
    assert found.std_of_best == pytest.approx(CollapseGuard().look(_rows()).std_of_best, rel=0.01)


def test_embeddings_that_are_no_numbers_end_the_run() -> None:
    rows = _rows()
    rows[3, 2] = float("nan")
    with pytest.raises(NumericsError, match="1 of 64 embeddings are NaN"):
        CollapseGuard().look(rows)


def test_nothing_is_known_before_the_first_look() -> None:
    with pytest.raises(ValueError, match="call `look` first"):
        _ = CollapseGuard().health
    with pytest.raises(ValueError, match="at least 1, got 0"):
        CollapseGuard(patience=0)
