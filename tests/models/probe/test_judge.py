import numpy as np
import pytest
from sklearn import metrics

from models.probe import METRICS, compare, judge


def _drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(30), 4)
    labels = patients % 3
    scores = rng.random((120, 4)) + 0.5 * np.eye(4)[labels]
    return labels, scores / scores.sum(axis=1, keepdims=True), patients


def test_values_are_those_of_scikit_learn() -> None:
    labels, scores, patients = _drawn()
    found = judge(labels, scores, patients, seed=0, resamples=100)
    predicted = scores.argmax(axis=1)
    expected = {
        "balanced_accuracy": metrics.recall_score(
            labels, predicted, labels=[0, 1, 2], average="macro"
        ),
        "accuracy": metrics.accuracy_score(labels, predicted),
        # class 3 has no row, so it counts in none of the means
        "macro_auroc": np.mean(
            [metrics.roc_auc_score(labels == c, scores[:, c]) for c in range(3)]
        ),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    assert tuple(found) == METRICS
    assert all(one.low < one.value < one.high for one in found.values())


def test_the_bounds_are_those_of_resampled_patients() -> None:
    labels, scores, patients = _drawn()
    found = judge(labels, scores, patients, seed=5, resamples=60)["macro_auroc"]
    picks = (np.random.Generator(np.random.PCG64(5)).random((60, 30)) * 30).astype(int)
    slow = []
    for row in picks:
        rows = np.concatenate([np.flatnonzero(patients == p) for p in row])
        areas = [metrics.roc_auc_score(labels[rows] == c, scores[rows, c]) for c in range(3)]
        slow.append(np.mean(areas))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))


def test_a_class_of_one_patient_is_missing_in_a_third_of_the_resamples() -> None:
    labels = np.array([0] * 10 + [1])
    scores = np.eye(2)[labels]
    found = judge(labels, scores, np.arange(11), seed=0, resamples=1000)
    assert found["balanced_accuracy"].undefined / 1000 == pytest.approx((10 / 11) ** 11, abs=0.05)
    assert found["accuracy"].undefined == 0


def test_one_class_has_no_area() -> None:
    found = judge(np.zeros(6, int), np.ones((6, 2)) / 2, np.arange(6), seed=0, resamples=20)
    assert found["macro_auroc"] is None
    assert found["accuracy"].value == 1.0


def test_two_probes_are_compared_on_the_same_resamples() -> None:
    labels, scores, patients = _drawn()
    worse = scores[:, [1, 0, 2, 3]]
    found = compare(labels, (scores, worse), patients, seed=1, resamples=200)
    alone = judge(labels, worse, patients, seed=1, resamples=200)
    for name, one in found.items():
        assert one.second == alone[name]
        assert one.difference.low > 0
    same = compare(labels, (scores, scores), patients, seed=1, resamples=50)["accuracy"]
    assert (same.difference.value, same.difference.high, same.p) == (0, 0, 1)
