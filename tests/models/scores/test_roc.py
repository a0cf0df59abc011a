import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from models.scores import delong, delong_test


def _slow(positive: np.ndarray, scores: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """DeLong 1988, equations (2) to (5): structural components by loops over all pairs."""
    m, n = int(positive.sum()), int((~positive).sum())
    v10, v01, areas = [], [], []
    for score in scores:
        wins = [
            [1.0 if x > y else 0.5 if x == y else 0.0 for y in score[~positive]]
            for x in score[positive]
        ]
        v10.append([sum(row) / n for row in wins])
        v01.append([sum(row[j] for row in wins) / m for j in range(n)])
        areas.append(sum(map(sum, wins)) / (m * n))
    s10, s01 = (np.zeros((len(scores),) * 2) for _ in range(2))
    for a in range(len(scores)):
        for b in range(len(scores)):
            s10[a, b] = sum(
                (x - areas[a]) * (y - areas[b]) for x, y in zip(v10[a], v10[b], strict=True)
            ) / (m - 1)
            s01[a, b] = sum(
                (x - areas[a]) * (y - areas[b]) for x, y in zip(v01[a], v01[b], strict=True)
            ) / (n - 1)
    return np.array(areas), s10 / m + s01 / n


def _drawn(seed: int, rows: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(rows) < 0.4
    first = np.round(rng.normal(size=rows) + positive, 1)  # with ties
    return positive, first, np.round(0.5 * first + rng.normal(size=rows), 1)


@pytest.mark.parametrize("seed", range(4))
def test_intervals_and_test_are_those_of_loops_over_pairs(seed: int) -> None:
    positive, first, second = _drawn(seed)
    areas, covariance = _slow(positive, [first, second])
    found = delong_test(positive, first, second)
    assert found is not None
    assert found.first.value == pytest.approx(areas[0])
    assert found.first.value == pytest.approx(roc_auc_score(positive, first))
    reach = 1.959964 * covariance[0, 0] ** 0.5
    assert found.first.low == pytest.approx(max(0, areas[0] - reach), abs=1e-6)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = (areas[0] - areas[1]) / variance**0.5
    assert found.p == pytest.approx(2 * (1 - stats.norm.cdf(abs(z))))
    assert found.difference.value == pytest.approx(areas[0] - areas[1])
    assert delong(positive, first) == found.first
    assert delong(positive, second) == found.second


def test_a_variance_by_hand() -> None:
    # positives 1, 3 against negatives 0, 2: V10 = (1/2, 1), V01 = (1, 1/2), each of variance 1/8
    found = delong([True, True, False, False], [1, 3, 0, 2])
    assert found is not None
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - 1.959964 * (1 / 16 + 1 / 16) ** 0.5, abs=1e-6)
    assert found.high == 1.0  # cut


def test_the_interval_covers_the_true_area() -> None:
    rng = np.random.default_rng(0)
    truth = stats.norm.cdf(1 / 2**0.5)  # of two normal distributions one deviation apart
    positive = np.arange(120) < 50
    trials = [delong(positive, rng.normal(size=120) + positive) for _ in range(1000)]
    covered = np.mean([one.low < truth < one.high for one in trials])
    assert 0.93 <= covered <= 0.96


def test_equal_scores_do_not_differ_and_opposite_ones_do() -> None:
    positive = np.array([True, True, False, False])
    same = delong_test(positive, [1, 2, 0, 1], [1, 2, 0, 1])
    opposite = delong_test(positive, [2, 3, 0, 1], [0, 1, 2, 3])
    assert same is not None
    assert opposite is not None
    assert (same.p, same.difference.value) == (1.0, 0.0)
    assert (opposite.p, opposite.difference.value) == (0.0, 1.0)


def test_an_empty_side_has_no_area_and_a_side_of_one_has_no_interval() -> None:
    assert delong([True, True], [0.1, 0.2]) is None
    single = delong([True, False, False], [0.5, 0.1, 0.9])
    assert single is not None
    assert (single.value, single.low, single.high) == (0.5, None, None)
    assert delong_test([True, False, False], [1, 2, 3], [3, 2, 1]) is None


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"need one score per row, got \(1,\) for \(2,\)"):
        delong([True, False], [0.5])
    with pytest.raises(ValueError, match="1 scores are NaN or infinite"):
        delong([True, False], [0.5, np.inf])
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        delong([True, False], [0.5, 0.6], level=2)
