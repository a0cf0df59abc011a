"""Clipping and noise of features."""

import math

import pytest
import torch
from scipy.stats import kstest

from models.federated.privacy import FeaturePrivacy, clip_rows, secret_normal
from models.ssl.bank import Bank


def bank() -> Bank:
    return Bank(torch.nn.functional.normalize(torch.randn(4000, 8), dim=1), torch.arange(4000) % 4)


def sorted_rows(given: Bank) -> list[tuple[int, bytes]]:
    halves = given.features.to(torch.float16).numpy()
    return sorted(
        (int(tag), row.tobytes()) for tag, row in zip(given.partition, halves, strict=True)
    )


def test_nothing_is_done_but_sorting_unless_asked() -> None:
    given = bank()
    found = FeaturePrivacy().guard(given)
    rows = zip(found.partition.tolist(), found.features.numpy(), strict=True)
    assert [(tag, row.tobytes()) for tag, row in rows] == sorted_rows(given)


def test_the_order_says_nothing_of_where_entries_come_from() -> None:
    given = bank()
    found = FeaturePrivacy().guard(given)
    other = FeaturePrivacy().guard(given.take(torch.randperm(4000)))
    assert torch.equal(found.features, other.features)
    assert torch.equal(found.partition, other.partition)


def test_rows_are_shortened_to_the_bound_and_no_further() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    found = clip_rows(rows, 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


def test_noise_has_the_deviation_that_was_asked_for_and_is_another_each_time() -> None:
    one = Bank(torch.ones(1, 1).expand(4000, 8) / 8**0.5, torch.zeros(4000, dtype=torch.int64))
    privacy = FeaturePrivacy(clip=0.5, noise=0.3)
    found = [privacy.guard(one).features.float() - 0.5 / 8**0.5 for _ in range(2)]
    assert float(found[0].std()) == pytest.approx(0.15, rel=0.03)
    assert abs(float(found[0].mean())) < 0.005
    assert not torch.equal(found[0], found[1])


def test_secret_numbers_are_normal_whatever_seed_torch_has() -> None:
    torch.manual_seed(0)
    found = secret_normal(torch.Size((200, 500)))
    torch.manual_seed(0)
    assert not torch.equal(found, secret_normal(torch.Size((200, 500))))
    assert (found.shape, found.dtype) == ((200, 500), torch.float32)
    assert kstest(found.flatten().numpy(), "norm").pvalue > 1e-4


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
