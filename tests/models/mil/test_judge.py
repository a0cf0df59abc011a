"""Scores, curves and comparisons of predictions."""

import numpy as np
import pytest
from sklearn import metrics

from models.errors import LabelsError
from models.mil.curves import precision_recall_points, roc_points
from models.mil.judge import (
    Predictions,
    compare,
    per_class_scores,
    score_over_folds,
    score_over_patients,
)

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 60)


def predictions(seed: int = 0, strength: float = 1.5, **changes: object) -> Predictions:
    noise = np.random.default_rng(seed).standard_normal((60, 3))
    noise[np.arange(60), LABELS] += strength
    chances = np.exp(noise) / np.exp(noise).sum(axis=1, keepdims=True)
    names = tuple(f"b{n:02d}" for n in range(60))
    usual = {"names": names, "patients": names, "labels": LABELS, "probabilities": chances}
    return Predictions(**(usual | changes))


def test_scores_are_scikit_learns() -> None:
    found = predictions()
    scores = per_class_scores(found)
    for number in range(3):
        positive, chance = found.labels == number, found.probabilities[:, number]
        assert scores["auroc"][number] == pytest.approx(metrics.roc_auc_score(positive, chance))
        expected = metrics.average_precision_score(positive, chance)
        assert scores["auprc"][number] == pytest.approx(expected)
    expected = metrics.balanced_accuracy_score(found.labels, found.predicted)
    assert scores["balanced_accuracy"][0] == pytest.approx(expected)
    expected = metrics.roc_auc_score(found.labels, found.probabilities, multi_class="ovr")
    assert scores["macro_auroc"][0] == pytest.approx(expected)
    assert found.confusion() == metrics.confusion_matrix(found.labels, found.predicted).tolist()


def test_intervals_over_patients_have_the_plain_scores_as_values() -> None:
    found = predictions()
    plain, intervals = per_class_scores(found), score_over_patients(found, seed=0, resamples=50)
    assert set(plain) == set(intervals)
    for name, values in plain.items():
        for value, interval in zip(values, intervals[name], strict=True):
            assert interval is not None
            assert interval.value == pytest.approx(value)
            assert interval.low <= interval.value <= interval.high


def test_folds_without_a_class_are_left_out_of_its_mean() -> None:
    whole = predictions()
    part = whole.labels != 2
    other = predictions(
        names=whole.names[: part.sum()],
        patients=whole.patients[: part.sum()],
        labels=whole.labels[part],
        probabilities=whole.probabilities[part],
    )
    over = score_over_folds([whole, other])
    assert over["auroc"][2].value == pytest.approx(per_class_scores(whole)["auroc"][2])
    mean = np.mean([per_class_scores(fold)["auroc"][0] for fold in (whole, other)])
    assert over["auroc"][0].value == pytest.approx(mean)


def test_a_run_does_not_differ_from_itself() -> None:
    found = compare(predictions(), predictions(), seed=0, resamples=50)
    told = found["auroc"][0]
    assert told["difference"]["value"] == 0
    assert told["delong"]["p"] == 1


def test_a_better_run_is_better() -> None:
    good, bad = predictions(strength=4.0), predictions(seed=1, strength=0.0)
    found = compare(good, bad, seed=0, resamples=200)
    for values in found.values():
        for told in values:
            assert told["difference"]["low"] > 0
            assert told["p"] < 0.05
    assert found["auroc"][0]["delong"]["p"] < 1e-4


def test_delong_is_not_told_where_a_patient_has_two_bags() -> None:
    patients = tuple(f"p{n // 2}" for n in range(60))
    one, other = predictions(patients=patients), predictions(seed=1, patients=patients)
    assert compare(one, other, seed=0, resamples=20)["auroc"][0]["delong"] is None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"names": tuple(f"c{n:02d}" for n in range(60))}, "predicted other bags"),
        ({"labels": (LABELS + 1) % 3}, "other labels or patients"),
        ({"patients": ("p",) * 60}, "other labels or patients"),
    ],
)
def test_other_bags_cannot_be_compared(change: dict[str, object], match: str) -> None:
    with pytest.raises(LabelsError, match=match):
        compare(predictions(), predictions(**change), seed=0, resamples=5)


def test_curves_are_scikit_learns() -> None:
    scores = RNG.integers(0, 6, 50) / 5  # with ties
    positive = RNG.random(50) < 0.4
    expected = metrics.roc_curve(positive, scores, drop_intermediate=False)[:2]
    np.testing.assert_allclose(roc_points(positive, scores), np.stack(expected, axis=1))
    precision, recall, _ = metrics.precision_recall_curve(positive, scores)
    points = precision_recall_points(positive, scores)
    np.testing.assert_allclose(points[1:], np.stack([recall, precision], axis=1)[-2::-1])
    assert points[0].tolist() == [0.0, points[1, 1]]
