"""Macro F1 of many resamples at once, against scikit-learn one by one."""

import numpy as np
from sklearn.metrics import f1_score

from models.probe.judge import FURTHER
from models.scores.weighted import macro_f1


def test_it_is_scikit_learns_of_every_resample() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    weights = rng.integers(0, 3, (5, 40)).astype(np.float64)
    found = macro_f1(labels, predicted, weights, [0, 1, 2])
    for value, weight in zip(found, weights, strict=True):
        expected = f1_score(labels, predicted, average="macro", sample_weight=weight)
        assert np.isclose(value, expected)


def test_a_class_that_neither_occurs_nor_is_predicted_has_none() -> None:
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    found = macro_f1([0, 0, 1], [0, 0, 0], weights, [0, 1])
    assert np.isnan(found[0])
    assert np.isclose(found[1], (2 / 3 + 0) / 2)


def test_it_is_given_where_it_is_asked_for() -> None:
    labels, shares = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    found = FURTHER["macro_f1"](labels, shares)(np.ones((1, 3)))
    assert np.isclose(found[0], 2 / 3)
