import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.errors import NumericsError
from models.probe import LinearSettings, fit_linear, usual_rate


def _blobs(seed: int = 0, rows: int = 120, dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    centres = np.random.default_rng(99).normal(size=(3, dim))
    return centres[labels] + 0.7 * rng.normal(size=(rows, dim)), labels


def _slow(
    train: np.ndarray, labels: np.ndarray, start: np.ndarray, settings: LinearSettings
) -> tuple:
    """Full-batch gradient descent by hand: softmax regression with momentum and half-cosine."""
    weight, bias = start.copy(), np.zeros(3)
    velocity = [np.zeros_like(weight), np.zeros(3)]
    for epoch in range(settings.epochs):
        rate = (
            settings.rate * len(train) / 256 * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
        )
        logits = train @ weight.T + bias
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        wrong = (shares - np.eye(3)[labels]) / len(train)
        for i, gradient in enumerate((wrong.T @ train, wrong.sum(axis=0))):
            velocity[i] = settings.momentum * velocity[i] + gradient
        weight, bias = weight - rate * velocity[0], bias - rate * velocity[1]
    return weight, bias


def test_it_descends_as_written_by_hand() -> None:
    import torch

    train, labels = _blobs()
    test, _ = _blobs(1, 9)
    settings = LinearSettings(epochs=12, rate=1.0)
    generator = torch.Generator().manual_seed(4)
    start = torch.empty(3, 5).normal_(0, 0.01, generator=generator).numpy().astype(float)
    weight, bias = _slow(train, labels, start, settings)
    logits = test @ weight.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = fit_linear(train, labels, test, 3, seed=4, settings=settings)
    assert found.scores == pytest.approx(expected, abs=1e-5)


def test_it_ends_near_logistic_regression() -> None:
    train, labels = _blobs(rows=600)
    test, truth = _blobs(1, 600)
    found = fit_linear(train, labels, test, 3, seed=0, settings=LinearSettings(rate=0.5))
    reference = LogisticRegression(C=np.inf, max_iter=1000).fit(train, labels)
    assert (found.scores.argmax(axis=1) == reference.predict(test)).mean() > 0.97
    assert (found.scores.argmax(axis=1) == truth).mean() > 0.7


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    train, labels = _blobs()
    settings = LinearSettings(batch=32, epochs=5)
    one, same, other = (
        fit_linear(train, labels, train, 3, seed=seed, settings=settings) for seed in (1, 1, 2)
    )
    assert one.losses == same.losses
    assert (one.scores == same.scores).all()
    assert (one.scores != other.scores).any()


def test_losses_fall() -> None:
    train, labels = _blobs()
    losses = fit_linear(train, labels, train, 3, seed=0).losses
    assert len(losses) == 90
    assert losses[0] == pytest.approx(math.log(3), abs=0.05)
    assert losses[-1] < 0.8 * losses[0]


def test_the_rate_follows_the_batch_that_is_used() -> None:
    train, labels = _blobs(rows=64)
    small = LinearSettings(rate=0.4, batch=64, epochs=3)
    large = LinearSettings(rate=0.4, batch=1024, epochs=3)
    found = [fit_linear(train, labels, train, 3, seed=0, settings=s).losses for s in (small, large)]
    assert found[0] == found[1]


def test_standardised_embeddings_do_not_depend_on_their_scale() -> None:
    train, labels = _blobs()
    scale, shift = np.array([1, 1000, 1e-3, 1, 5]), np.array([0, 3, 1, 700, 0])
    settings = LinearSettings(standardise=True, epochs=20)
    plain, moved = (
        fit_linear(rows, labels, rows, 3, seed=0, settings=settings).scores
        for rows in (train, train * scale + shift)
    )
    assert moved == pytest.approx(plain, abs=1e-3)


def test_a_dead_dimension_does_no_harm() -> None:
    train, labels = _blobs()
    dead = np.concatenate([train, np.zeros((len(train), 1))], axis=1)
    found = fit_linear(dead, labels, dead, 3, seed=0, settings=LinearSettings(standardise=True))
    assert np.isfinite(found.scores).all()


def test_a_rate_that_is_too_high_is_told() -> None:
    train, labels = _blobs()
    with pytest.raises(NumericsError, match=r"linear probe's loss is .* lower --linear-rate"):
        fit_linear(1e30 * train, labels, train, 3, seed=0)


@pytest.mark.parametrize(
    ("architecture", "rate"),
    [
        ("timm:resnet50", 0.1),
        ("timm:vit_small_patch16_224", 3.0),
        ("vit-small-8", 3.0),
        ("ctranspath-swin-tiny", 0.1),
    ],
)
def test_vision_transformers_learn_faster(architecture: str, rate: float) -> None:
    assert usual_rate(architecture) == rate
