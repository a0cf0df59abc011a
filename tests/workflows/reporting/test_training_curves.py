import math

import numpy as np
import pytest

from workflows.reporting.training_curves import (
    FEW,
    MOST_POINTS,
    moving_mean,
    panels_of,
    span,
    thin,
)


def _step(step: int, **told: object) -> dict[str, object]:
    return {"kind": "step", "step": step, "epoch": 0, "loss": 1.0, **told}


def test_everything_that_is_told_gets_a_panel_and_nothing_else() -> None:
    lines = [
        {"kind": "start", "step": 0, "steps": 9},
        _step(1, lr=0.1, grad_norm=None, metrics={"mean_s": 2.0, "negatives_kept": 3}),
        _step(2, lr=0.1, waiting=0.01, metrics={"same_slide": 0.5}),
        {"kind": "epoch", "step": 2, "epoch": 0, "loss": 1.0, "std_of_best": 0.8, "knn": None},
        {"kind": "note", "step": 2, "text": "t"},
    ]
    assert [panel.heading for panel in panels_of(lines)] == [
        "Loss, and its moving mean",
        "Learning rate",
        "Spread of embeddings, 1 at best",
        "Mean s",
        "Negatives kept",
        "Same slide",
        "Share of the time waiting for data",
    ]
    assert panels_of([]) == []


def test_points_are_values_by_step_without_those_that_are_no_number() -> None:
    losses = [3.0, None, math.nan, 2.0, math.inf]
    (panel,) = panels_of([_step(10 * i, loss=loss) for i, loss in enumerate(losses)])
    (curve,) = panel.curves
    assert curve.points == [(0.0, 3.0), (30.0, 2.0)]


def test_a_metric_that_not_every_line_has_keeps_its_steps() -> None:
    lines = [_step(1, metrics={}), _step(2, metrics={"a": 5}), _step(3)]
    (curve,) = panels_of(lines)[1].curves
    assert curve.points == [(2.0, 5.0)]


def test_many_points_lie_faint_below_their_mean() -> None:
    lines = [_step(i, loss=float(i % 2)) for i in range(FEW)]
    behind, front = panels_of(lines)[0].curves
    assert (behind.faint, front.faint) == (True, False)
    assert len(panels_of(lines[:-1])[0].curves) == 1


def test_the_moving_mean_is_that_of_a_loop() -> None:
    values = np.random.default_rng(0).normal(size=30)
    points = [(float(i), float(value)) for i, value in enumerate(values)]
    expected = [(float(i), values[max(0, i - 6) : i + 1].mean()) for i in range(30)]
    np.testing.assert_allclose(moving_mean(points, 7), expected, rtol=1e-12)


def test_a_spike_leaves_the_mean_with_its_window() -> None:
    points = [(float(i), 1e30 if i == 3 else 1.0) for i in range(20)]
    means = dict(moving_mean(points, 4))
    assert means[6] == pytest.approx(1e30 / 4)
    assert means[7] == 1.0


def test_the_mean_of_many_points_is_thinned_and_ends_with_the_last() -> None:
    points = [(float(i), float(i)) for i in range(1001)]
    found = moving_mean(points, 3, most=10)
    assert len(found) == 10
    assert found[-1] == (1000.0, 999.0)


def test_thinning_keeps_spikes_and_order() -> None:
    points = [(float(i), 0.0) for i in range(10_000)]
    points[4321], points[8765] = (4321.0, 9.0), (8765.0, -9.0)
    kept = thin(points)
    assert len(kept) <= MOST_POINTS
    assert {(4321.0, 9.0), (8765.0, -9.0)} <= set(kept)
    assert kept == sorted(set(kept))
    assert thin(points[:MOST_POINTS]) == points[:MOST_POINTS]


@pytest.mark.parametrize(
    ("values", "low", "expected"),
    [
        pytest.param([2.1, 6.9], None, (2, 7), id="whole numbers"),
        pytest.param([0.0, 6e-4], 0.0, (0, 1e-3), id="small"),
        pytest.param([900.0], 0.0, (0, 1000), id="one value from zero"),
        pytest.param([3.0, 3.0], None, (3.0, 3.5), id="all the same"),
        pytest.param([0.0], None, (0, 1), id="zero"),
        pytest.param([-8.0, -7.2], None, (-8, -7), id="negative"),
        pytest.param([0.99, 1.0], None, (0.99, 1.0), id="near one"),
    ],
)
def test_axes_have_round_ends(
    values: list[float], low: float | None, expected: tuple[float, float]
) -> None:
    assert span(values, low) == pytest.approx(expected)


def test_axes_hold_almost_all_values_whatever_they_are() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        values = rng.normal(rng.normal() * 10, 10 ** rng.uniform(-4, 4), 50).tolist()
        first, last = span(values)
        assert first <= min(values) + 1e-9 * abs(min(values))
        assert max(values) <= last + 1e-9 * abs(last)
        assert last - first <= 4 * (max(values) - min(values))


def test_one_spike_does_not_press_the_rest_flat() -> None:
    assert span([*np.linspace(2, 5, 300), 1e9]) == pytest.approx((2, 7))
