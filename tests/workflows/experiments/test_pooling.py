import numpy as np
import pytest
import torch

from models.scores import balanced_accuracy
from workflows.experiments.label import prediction
from workflows.experiments.pooling import METRICS, RANKED, Prediction, Truth, contrast, pool

# patient 0: rows 0 and 1, patient 1: rows 2 and 3; each has both classes
TRUTH = Truth(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))


def _saying(right: list[bool], loss: list[float]) -> Prediction:
    """Predictions that are right where it says so."""
    said = np.where(right, TRUTH.labels, 1 - TRUTH.labels)
    return Prediction(np.eye(2)[said] * 0.8 + 0.1, np.array(loss))


ALL = _saying([True] * 4, [0.1] * 4)
HALF = _saying([True, True, False, False], [0.2, 0.2, 1.0, 1.0])
"""All of patient 0 is right, all of patient 1 is wrong."""
NONE = _saying([False] * 4, [2.0] * 4)


def test_means_and_deviations_over_seeds_are_those_of_hand_arithmetic() -> None:
    found = pool(TRUTH, [ALL, HALF], seed=0, resamples=50)
    accuracy, loss = found["accuracy"], found["loss"]
    assert accuracy is not None
    assert loss is not None
    assert accuracy.interval.value == pytest.approx(0.75)
    assert accuracy.sd == pytest.approx(((1 - 0.75) ** 2 + (0.5 - 0.75) ** 2) ** 0.5)
    assert loss.interval.value == pytest.approx((0.1 + 0.6) / 2)
    assert loss.sd == pytest.approx(0.5 / 2**0.5)
    assert accuracy.seeds == 2
    assert accuracy.document()["value"] == accuracy.interval.value


def test_an_interval_is_over_patients_of_the_mean_over_seeds() -> None:
    # two patients are drawn twice: both patient 0 (mean of 1 and 1), one each, or both patient 1
    found = pool(TRUTH, [ALL, HALF], seed=3, resamples=400)["accuracy"]
    assert found is not None
    assert (found.interval.low, found.interval.high) == (0.5, 1.0)
    assert found.interval.resamples == 400
    alone = pool(TRUTH, [ALL], seed=3, resamples=400)["accuracy"]
    assert alone is not None
    assert (alone.interval.low, alone.interval.high, alone.sd) == (1.0, 1.0, None)


def test_a_resample_without_a_class_is_counted_and_left_out() -> None:
    truth = Truth(np.array([0, 1]), np.array([0, 1]))
    both = Prediction(np.eye(2), np.zeros(2))
    found = pool(truth, [both, both], seed=0, resamples=200)["balanced_accuracy"]
    assert found is not None
    assert found.interval.resamples + found.interval.undefined == 200
    assert 60 < found.interval.undefined < 140  # half of them, on average


def test_a_difference_is_taken_on_the_same_patients_and_seed_by_seed() -> None:
    found = contrast(TRUTH, ([HALF, HALF], [HALF, NONE]), seed=0, resamples=400)["accuracy"]
    assert found is not None
    # seed 0: .5 - .5, seed 1: .5 - 0; of patient 1 alone 0, of patient 0 alone (1 - (1 + 0) / 2)
    assert found["difference"]["value"] == pytest.approx(0.25)
    assert found["sd"] == pytest.approx(0.5 / 2**0.5)
    assert (found["difference"]["low"], found["difference"]["high"]) == (0.0, 0.5)
    same = contrast(TRUTH, ([HALF], [HALF]), seed=0, resamples=100)["accuracy"]
    assert same is not None
    assert (same["difference"]["low"], same["difference"]["high"]) == (0.0, 0.0)


def test_pooled_scores_agree_with_a_loop_over_seeds_and_resamples() -> None:
    rng = np.random.default_rng(0)
    truth = Truth(rng.integers(0, 3, 60), rng.integers(0, 12, 60))
    seeds = [rng.dirichlet(np.ones(3), 60) for _ in range(3)]
    found = pool(truth, [Prediction(p) for p in seeds], seed=5, resamples=300)
    drawn = (np.random.Generator(np.random.PCG64(5)).random((300, 12)) * 12).astype(int)
    means = []
    for patients in drawn:
        rows = np.concatenate([np.flatnonzero(truth.patients == one) for one in patients])
        each = [balanced_accuracy(truth.labels[rows], p[rows].argmax(1), [0, 1, 2]) for p in seeds]
        if all(value is not None for value in each):
            means.append(sum(each) / 3)  # type: ignore[arg-type]
    score = found["balanced_accuracy"]
    assert score is not None
    assert [score.interval.low, score.interval.high] == pytest.approx(
        np.quantile(means, [0.025, 0.975]).tolist()
    )
    assert tuple(found) == RANKED


def test_losses_are_cross_entropies_even_of_hopeless_logits() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 2000.0]]), np.array([0, 0])
    found = prediction(logits, labels)
    assert found.loss is not None
    assert found.loss == pytest.approx([np.log1p(np.exp(-2.0)), 2000.0])
    assert found.probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert tuple(pool(Truth(labels, labels), [found], seed=0, resamples=5)) == METRICS


def test_what_is_kept_of_a_prediction_gives_it_again() -> None:
    again = Prediction.kept(HALF.arrays("knn_"), "knn_")
    assert again.loss is not None
    assert np.array_equal(again.probabilities, HALF.probabilities)
    assert Prediction.kept(Prediction(HALF.probabilities).arrays()).loss is None
