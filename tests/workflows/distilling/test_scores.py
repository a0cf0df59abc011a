"""Scores of students: one class per patch, or any of several with unknown ones."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from models.distilling.predicting import Predictions
from workflows.distilling.scores import METRICS, differ, score


def _predictions(labels: NDArray[Any], shares: NDArray[np.float64]) -> Predictions:
    count = len(labels)
    slides = np.arange(count) // 3
    names = np.array([f"s{i}" for i in range(slides[-1] + 1)])
    return Predictions(shares, labels, slides, np.arange(count), names, names)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_one_class_per_patch_is_scored_as_scikit_learn_does(rng: np.random.Generator) -> None:
    labels, shares = rng.integers(0, 3, 60), rng.dirichlet((1, 1, 1), 60)
    found = score(_predictions(labels, shares), resamples=20)
    guess = shares.argmax(axis=1)
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(labels, guess))
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(labels, guess, average="macro"))
    area = roc_auc_score(labels, shares, multi_class="ovr")
    assert found["macro_auroc"]["value"] == pytest.approx(area)


def test_several_classes_are_averaged_over_what_is_known(rng: np.random.Generator) -> None:
    labels, shares = rng.integers(-1, 2, (90, 2)), rng.random((90, 2))
    found = score(_predictions(labels, shares), resamples=20)
    areas, hits = [], []
    for c in (0, 1):
        known = labels[:, c] >= 0
        areas.append(roc_auc_score(labels[known, c], shares[known, c]))
        hits.append(accuracy_score(labels[known, c], shares[known, c] >= 0.5))
    assert found["macro_auroc"]["value"] == pytest.approx(np.mean(areas))
    assert found["accuracy"]["value"] == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_a_class_that_tells_nothing_apart_is_left_out(rng: np.random.Generator, value: int) -> None:
    labels, shares = rng.integers(0, 2, (60, 3)), rng.random((60, 3))
    without = score(_predictions(labels[:, :2], shares[:, :2]), resamples=20)
    labels[:, 2] = value
    assert score(_predictions(labels, shares), resamples=20) == without
    labels[:] = value
    assert set(score(_predictions(labels, shares), resamples=20).values()) == {None}


def test_the_same_student_differs_by_nothing(rng: np.random.Generator) -> None:
    one = _predictions(rng.integers(0, 2, 30), rng.dirichlet((1, 1), 30))
    found = differ(one, one, resamples=20)
    assert set(found) == set(METRICS)
    assert all(line["difference"]["value"] == 0 for line in found.values())


def test_a_score_that_is_not_defined_is_none() -> None:
    one = _predictions(np.zeros(6, np.int64), np.full((6, 2), 0.5))
    assert score(one, resamples=5)["macro_auroc"] is None
