"""Clipping and noise of features."""

import math

import pytest
import torch

from models.federated.privacy import FeaturePrivacy, clip_rows
from models.ssl.bank import Bank


def bank() -> Bank:
    return Bank(torch.nn.functional.normalize(torch.randn(4000, 8), dim=1), torch.arange(4000) % 4)


def test_nothing_is_done_unless_asked() -> None:
    given = bank()
    found = FeaturePrivacy().guard(given, torch.Generator())
    assert torch.equal(found.features, given.features)


def test_rows_are_shortened_to_the_bound_and_no_further() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    found = clip_rows(rows, 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


def test_noise_has_the_deviation_that_was_asked_for_and_follows_its_generator() -> None:
    given, privacy = bank(), FeaturePrivacy(clip=0.5, noise=0.3)
    found = [privacy.guard(given, torch.Generator().manual_seed(1)) for _ in range(2)]
    added = found[0].features - 0.5 * given.features
    assert float(added.std()) == pytest.approx(0.15, rel=0.03)
    assert torch.equal(found[0].features, found[1].features)
    assert torch.equal(found[0].partition, given.partition)


def test_the_budget_is_that_of_the_gaussian_mechanism() -> None:
    privacy = FeaturePrivacy(clip=1.0, noise=4.0)
    rho = 10 * (2.0**2) / (2 * 4.0**2)  # rounds, sensitivity 2 clip, deviation 4 clip
    expected = rho + 2 * math.sqrt(rho * math.log(1e5))
    assert privacy.epsilon(10, 1e-5) == pytest.approx(expected)
    assert FeaturePrivacy(clip=1.0).epsilon(10, 1e-5) == math.inf


@pytest.mark.parametrize(
    ("clip", "noise", "told"), [(None, 1.0, "give clip"), (0.0, 0.0, "clip"), (1.0, -1.0, "noise")]
)
def test_what_means_nothing_is_refused(clip: float | None, noise: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FeaturePrivacy(clip, noise)
