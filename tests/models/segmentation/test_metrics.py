"""Scores against matrices by hand and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, jaccard_score

from models.errors import LabelsError, MismatchError
from models.segmentation.metrics import confusion, score, score_over_patients

BY_HAND = np.array(
    [
        [8, 2, 0, 0],
        [1, 4, 0, 1],
        [0, 0, 0, 0],
        [3, 5, 7, 9],
    ]
)
"""Three classes and background; nothing is of class 2, and one pixel of class 1 is called none."""


def test_scores_of_a_matrix_by_hand() -> None:
    found = score(BY_HAND)
    assert found.iou == (pytest.approx(8 / 11), pytest.approx(4 / 8), None)
    assert found.recall == (pytest.approx(8 / 10), pytest.approx(4 / 6), None)
    assert found.miou == pytest.approx((8 / 11 + 4 / 8) / 2)
    assert found.fwiou == pytest.approx(10 / 16 * 8 / 11 + 6 / 16 * 4 / 8)
    assert found.pixel_accuracy == pytest.approx(12 / 16)
    assert found.mean_accuracy == pytest.approx((8 / 10 + 4 / 6) / 2)


def test_with_background_it_is_one_more_class() -> None:
    found = score(BY_HAND, background=True)
    assert found.iou == tuple(pytest.approx(v) for v in (8 / 14, 4 / 13, 0.0, 9 / 25))
    assert found.recall == (pytest.approx(0.8), pytest.approx(4 / 6), None, pytest.approx(9 / 24))
    assert found.miou == pytest.approx((8 / 14 + 4 / 13 + 0 + 9 / 25) / 4)
    assert found.fwiou == pytest.approx(10 / 40 * 8 / 14 + 6 / 40 * 4 / 13 + 24 / 40 * 9 / 25)
    assert found.pixel_accuracy == pytest.approx(21 / 40)
    assert found.mean_accuracy == pytest.approx((0.8 + 4 / 6 + 9 / 24) / 3)


def _maps(seed: int = 0, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, (side, side))
    predicted = np.where(rng.random((side, side)) < 0.6, truth, rng.integers(0, 3, (side, side)))
    return truth.astype(np.uint8), predicted.astype(np.uint8)


def test_the_matrix_and_scores_are_those_of_scikit_learn() -> None:
    truth, predicted = _maps()
    matrix = confusion(truth, predicted, 3)
    assert np.array_equal(
        matrix, confusion_matrix(truth.ravel(), predicted.ravel(), labels=range(4))
    )
    counted = truth < 3
    true, guess = truth[counted], predicted[counted]
    found = score(matrix)
    assert found.iou == pytest.approx(
        jaccard_score(true, guess, labels=range(3), average=None, zero_division=0)
    )
    assert found.fwiou == pytest.approx(
        jaccard_score(true, guess, labels=range(3), average="weighted", zero_division=0)
    )
    assert found.pixel_accuracy == pytest.approx(accuracy_score(true, guess))
    assert found.mean_accuracy == pytest.approx(balanced_accuracy_score(true, guess))
    every = score(matrix, background=True)
    assert every.iou == pytest.approx(
        jaccard_score(truth.ravel(), predicted.ravel(), average=None, zero_division=0)
    )


def test_pixels_whose_truth_is_background_change_nothing() -> None:
    truth, predicted = _maps()
    expected = score(confusion(truth, predicted, 3))
    for other in range(4):
        changed = np.where(truth == 3, other, predicted)
        assert score(confusion(truth, changed, 3)) == expected
    more = np.concatenate([truth.ravel(), np.full(500, 3, np.uint8)])
    guess = np.concatenate([predicted.ravel(), np.arange(500, dtype=np.uint8) % 4])
    assert score(confusion(more, guess, 3)) == expected


def test_pixels_without_a_mask_are_not_counted() -> None:
    truth, predicted = _maps()
    masked = truth.copy()
    masked[:5] = 255
    matrix = confusion(masked, predicted, 3)
    assert np.array_equal(matrix, confusion(truth[5:], predicted[5:], 3))


def test_weighted_and_plain_means_agree_where_classes_are_equally_frequent() -> None:
    truth = np.repeat(np.arange(3), 50)
    predicted = np.random.default_rng(3).integers(0, 3, 150)
    found = score(confusion(truth, predicted, 3))
    assert found.fwiou == pytest.approx(found.miou)
    uneven = score(confusion(truth[40:], predicted[40:], 3))
    assert uneven.fwiou != pytest.approx(uneven.miou)


def test_of_nothing_no_score_is_defined() -> None:
    found = score(confusion(np.full((4, 4), 3), np.zeros((4, 4)), 3))
    assert found.iou == (None,) * 3
    assert {found.miou, found.fwiou, found.pixel_accuracy, found.mean_accuracy} == {None}


def test_intervals_are_over_patients() -> None:
    rng = np.random.default_rng(1)
    matrices, patients = [], []
    for patient in range(6):
        right = rng.uniform(0.3, 0.95)
        for _ in range(4):
            truth = rng.integers(0, 3, 200)
            guess = np.where(rng.random(200) < right, truth, (truth + 1) % 3)
            matrices.append(confusion(truth, guess, 3))
            patients.append(f"p{patient}")
    found = score_over_patients(matrices, patients, seed=4, resamples=300)
    whole = score(np.sum(matrices, axis=0))
    assert set(found) == {
        *("miou", "fwiou", "pixel_accuracy", "mean_accuracy"),
        *("iou_0", "iou_1", "iou_2"),
    }
    for name in ("miou", "fwiou", "pixel_accuracy", "mean_accuracy"):
        interval = found[name]
        assert interval.value == pytest.approx(getattr(whole, name))
        assert interval.low < interval.value < interval.high
    assert found["iou_1"].value == pytest.approx(whole.iou[1])
    alone = score_over_patients(matrices, range(24), seed=4, resamples=300)["miou"]  # type: ignore[arg-type]
    assert alone.high - alone.low < found["miou"].high - found["miou"].low
    again = score_over_patients(matrices, patients, seed=4, resamples=300)
    assert again == found
    with_background = score_over_patients(matrices, patients, seed=4, background=True, resamples=10)
    assert with_background["iou_3"] is None


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MismatchError, match=r"true mask is \(4, 4\), the predicted one \(4, 5\)"):
        confusion(np.zeros((4, 4)), np.zeros((4, 5)), 3)
    with pytest.raises(LabelsError, match="a true mask holds class 4; of 3 classes there are 0"):
        confusion(np.full((2, 2), 4), np.zeros((2, 2)), 3)
    with pytest.raises(LabelsError, match="a predicted mask holds class 255"):
        confusion(np.zeros((2, 2)), np.full((2, 2), 255), 3)
