import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from models.scores import accuracy, auprc, auroc, balanced_accuracy, macro, weighted


def _drawn(seed: int, rows: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores with many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    return labels, np.round(rng.random((rows, classes)) + 0.4 * np.eye(classes)[labels], 1)


def _slow_auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[positive]
        for n in scores[~positive]
    ]
    return sum(pairs) / len(pairs)


def test_auroc_by_hand() -> None:
    # positives .35 and .8 against negatives .1 and .4: 3 of 4 pairs are in order
    assert auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == (0.75, 0.75)


def test_auprc_by_hand() -> None:
    # down the list: hit (1/1), miss, hit (2/3): (1 + 2/3) / 2
    assert auprc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])[1] == pytest.approx(5 / 6)


def test_balanced_accuracy_by_hand() -> None:
    labels, predicted = [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]
    assert balanced_accuracy(labels, predicted) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert accuracy(labels, predicted) == pytest.approx(4 / 6)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    labels, scores = _drawn(seed)
    predicted = scores.argmax(axis=1)
    for c, (area, precision) in enumerate(
        zip(auroc(labels, scores), auprc(labels, scores), strict=True)
    ):
        assert area == pytest.approx(sklearn_metrics.roc_auc_score(labels == c, scores[:, c]))
        assert precision == pytest.approx(
            sklearn_metrics.average_precision_score(labels == c, scores[:, c])
        )
    assert balanced_accuracy(labels, predicted) == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(labels, predicted)
    )
    assert accuracy(labels, predicted) == pytest.approx(
        sklearn_metrics.accuracy_score(labels, predicted)
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=30))
def test_auroc_counts_pairs(rows: list[tuple[bool, int]]) -> None:
    positive = np.array([row[0] for row in rows])
    scores = np.array([row[1] for row in rows], float)
    found = auroc(positive.astype(int), scores)[1]
    if positive.all() or not positive.any():
        assert found is None
    else:
        assert found == pytest.approx(_slow_auroc(positive, scores))


@pytest.mark.parametrize("name", ["auroc", "auprc"])
def test_weights_mean_repeated_rows(name: str) -> None:
    labels, scores = _drawn(7)
    times = np.random.default_rng(1).integers(0, 4, (8, len(labels)))
    fast = getattr(weighted, name)(labels == 1, scores[:, 1], times.astype(float))
    reference = {
        "auroc": sklearn_metrics.roc_auc_score,
        "auprc": sklearn_metrics.average_precision_score,
    }[name]
    slow = [reference(np.repeat(labels == 1, row), np.repeat(scores[:, 1], row)) for row in times]
    assert fast == pytest.approx(np.array(slow))


def test_weights_of_classes_mean_repeated_rows() -> None:
    labels, scores = _drawn(3)
    predicted = scores.argmax(axis=1)
    times = np.random.default_rng(1).integers(0, 4, (8, len(labels)))
    fast = weighted.balanced_accuracy(labels, predicted, times.astype(float), [0, 1, 2])
    slow = [
        sklearn_metrics.balanced_accuracy_score(np.repeat(labels, row), np.repeat(predicted, row))
        for row in times
    ]
    assert fast == pytest.approx(np.array(slow))


def test_an_absent_class_has_no_score() -> None:
    scores = np.eye(3)[[0, 1, 0]]
    assert auroc([0, 1, 0], scores) == (1.0, 1.0, None)
    assert auprc([0, 1, 0], scores)[2] is None
    assert macro(auroc([0, 1, 0], scores)) is None
    assert balanced_accuracy([0, 1, 0], [0, 1, 0]) == 1.0
    assert balanced_accuracy([0, 1, 0], [0, 1, 0], classes=[0, 1, 2]) is None


def test_no_rows_have_no_score() -> None:
    assert auroc([], np.zeros((0, 2))) == (None, None)
    assert accuracy([], []) is None
    assert balanced_accuracy([], []) is None
    assert macro([]) is None


def test_macro_is_the_mean_over_classes() -> None:
    assert macro([0.5, 1.0]) == 0.75


def test_rows_must_match() -> None:
    with pytest.raises(ValueError, match=r"need one label per row, got \(2,\) for \(3, 2\)"):
        auroc([0, 1], np.zeros((3, 2)))
    with pytest.raises(ValueError, match="need one label per row"):
        accuracy([0, 1], [0])


def test_scores_must_be_finite() -> None:
    with pytest.raises(ValueError, match="1 scores are NaN or infinite"):
        auroc([0, 1], np.array([[0.0, np.nan], [1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"scores must be \(N, C\) or \(N,\), got \(1, 1, 1\)"):
        auroc([0], np.zeros((1, 1, 1)))
