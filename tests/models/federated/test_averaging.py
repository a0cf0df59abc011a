"""FedAvg."""

import pytest
import torch

from models.federated.averaging import average


def state(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(200, 30, generator=generator) * 10.0 ** torch.arange(-15, 15),
        "seen": torch.tensor(7 + 2 * seed),
    }


@pytest.mark.parametrize("counts", [(1,), (3, 5), (1, 1, 1), (7, 350, 11, 29, 31, 1, 1)])
def test_equal_models_stay_exactly_what_they_are(counts: tuple[int, ...]) -> None:
    found = average([state(0)] * len(counts), counts)
    assert torch.equal(found["weight"], state(0)["weight"])
    assert torch.equal(found["seen"], state(0)["seen"])


def test_two_models_give_their_weighted_mean() -> None:
    one, other = state(0), state(1)
    found = average([one, other], [1, 3])
    expected = one["weight"].double() / 4 + other["weight"].double() * 3 / 4
    torch.testing.assert_close(found["weight"], expected.float(), rtol=0, atol=0)
    assert found["seen"] == round(7 / 4 + 9 * 3 / 4)
    assert found["weight"].dtype == torch.float32


@pytest.mark.parametrize("counts", [(), (0,), (1, 2)])
def test_what_has_no_mean_is_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no mean"):
        average([state(0)] if counts else [], counts)
