import numpy as np
import pytest

from models.scores import accuracy, bootstrap, bootstrap_each, paired_bootstrap, weighted
from models.scores.resampling import Rows, Score, _codes, _weights


def _mean_of(values: np.ndarray) -> Score:
    return lambda rows: float(values[rows].mean())


def _slow_bootstrap(values: np.ndarray, groups: np.ndarray, seed: int, resamples: int) -> list:
    """The same draws, group by group and row by row."""
    names = sorted(set(groups.tolist()))
    generator = np.random.Generator(np.random.PCG64(seed))
    picks = generator.random((resamples, len(names)))
    means = []
    for row in picks:
        chosen = [names[int(u * len(names))] for u in row]
        drawn = [v for name in chosen for v, g in zip(values, groups, strict=True) if g == name]
        means.append(sum(drawn) / len(drawn))
    return means


def test_whole_groups_are_drawn_and_their_number_stays() -> None:
    groups = np.array(["b", "a", "b", "c", "b"])
    (weights,) = _weights(_codes(groups), 3, 50)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_the_interval_is_that_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    values, groups = rng.random(40), rng.integers(0, 9, 40)
    found = bootstrap(_mean_of(values), groups, seed=5, resamples=200, level=0.9)
    slow = _slow_bootstrap(values, groups, 5, 200)
    assert found is not None
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.05, 0.95])))
    assert found.resamples == 200


def test_many_resamples_at_once_give_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    labels, predicted, groups = rng.integers(0, 3, (3, 50))
    slow = bootstrap(
        lambda rows: accuracy(labels[rows], predicted[rows]), groups, seed=2, resamples=99
    )
    monkeypatch.setattr("models.scores.resampling.BLOCK", 500)  # ten resamples at a time

    def each(weights: np.ndarray) -> np.ndarray:
        assert len(weights) <= 10
        return weighted.accuracy(labels, predicted, weights)

    assert bootstrap_each(each, groups, seed=2, resamples=99) == slow


def test_a_resample_without_a_class_is_left_out_and_counted() -> None:
    values = np.array([1.0, 2.0, 3.0])

    def only_with_the_first(rows: Rows) -> float | None:
        return float(values[rows].mean()) if 0 in rows else None

    found = bootstrap(only_with_the_first, [0, 1, 2], seed=0, resamples=1000)
    assert found is not None
    assert found.resamples + found.undefined == 1000
    assert found.undefined / 1000 == pytest.approx((2 / 3) ** 3, abs=0.05)


def test_a_score_that_is_not_defined_has_no_interval() -> None:
    assert bootstrap(lambda _: None, [0, 1], seed=0, resamples=3) is None
    assert paired_bootstrap(lambda _: None, lambda _: 1.0, [0, 1], seed=0, resamples=3) is None


def test_one_patient_has_no_interval() -> None:
    found = bootstrap(lambda _: 0.5, ["p", "p"], seed=0, resamples=10)
    assert found is not None
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_the_seed_alone_decides() -> None:
    values, groups = np.arange(30.0), np.arange(30) // 3
    one, same, other = (
        bootstrap(_mean_of(values), groups, seed=seed, resamples=50) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_intervals_over_patients_cover_and_intervals_over_rows_do_not() -> None:
    # 40 patients of 10 rows; a patient's rows share a deviation, so rows are not independent
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(40), 10)
    hits = {"patients": 0, "rows": 0}
    for trial in range(120):
        values = rng.normal(size=40)[patients] + 0.3 * rng.normal(size=400)
        for name, groups in (("patients", patients), ("rows", np.arange(400))):
            found = bootstrap_each(
                lambda w, v=values: w @ v / w.sum(axis=1), groups, seed=trial, resamples=200
            )
            hits[name] += found.low < 0 < found.high
    assert 0.88 <= hits["patients"] / 120 <= 0.99
    assert hits["rows"] / 120 < 0.7


def test_paired_scores_are_of_the_same_resamples() -> None:
    rng = np.random.default_rng(2)
    base, groups = rng.random(60), np.arange(60) // 4
    found = paired_bootstrap(_mean_of(base + 0.1), _mean_of(base), groups, seed=0, resamples=200)
    assert found is not None
    ends = (found.difference.value, found.difference.low, found.difference.high)
    assert ends == pytest.approx((0.1, 0.1, 0.1))  # each alone varies, the difference does not
    assert found.first.high - found.first.low > 0.05
    assert found.p == pytest.approx(2 / 201)
    alone = bootstrap(_mean_of(base), groups, seed=0, resamples=200)
    assert found.second == alone


def test_equal_scores_do_not_differ() -> None:
    values, groups = np.arange(20.0), np.arange(20)
    found = paired_bootstrap(_mean_of(values), _mean_of(values), groups, seed=0, resamples=50)
    assert found is not None
    assert (found.difference.low, found.difference.high, found.p) == (0, 0, 1.0)


def test_a_comparison_of_one_patient_tells_nothing() -> None:
    found = paired_bootstrap(lambda _: 1.0, lambda _: 0.0, ["p"], seed=0, resamples=5)
    assert found is not None
    assert found.p is None


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(6)
    found = [
        paired_bootstrap(
            _mean_of(rng.normal(size=80)),
            _mean_of(rng.normal(size=80)),
            np.arange(80),
            seed=trial,
            resamples=100,
        )
        for trial in range(100)
    ]
    small = np.mean([one.p < 0.1 for one in found])
    assert 0.03 <= small <= 0.2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"resamples": 0}, "resamples must be positive, got 0"),
        ({"level": 1.0}, r"level must be between 0 and 1, got 1\.0"),
        ({"groups": []}, "need one group per row"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict, sentence: str) -> None:
    asked = {"groups": [0, 1], "seed": 0, "resamples": 5} | changes
    with pytest.raises(ValueError, match=sentence):
        bootstrap(lambda _: 1.0, asked.pop("groups"), **asked)
