import math

import pytest
import torch
from torch import Tensor, nn

from models.ssl.momentum import follow, momentum_at, twin_of


def _networks(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_a_twin_is_an_equal_copy_without_gradient() -> None:
    networks = _networks(0)
    twin = twin_of(networks)
    for (name, mine), theirs in zip(networks.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
        assert mine.data_ptr() != theirs.data_ptr()
        assert mine.requires_grad
        assert not theirs.requires_grad


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.99, 1.0])
def test_parameters_are_averaged_one_by_one(momentum: float) -> None:
    twin, networks = _networks(0), _networks(1)
    before, followed = _tensors(twin), _tensors(networks)
    follow(twin, networks, momentum)
    for name, parameter in twin.named_parameters():
        expected = [
            momentum * mine + (1 - momentum) * theirs
            for mine, theirs in zip(
                before[name].flatten().tolist(), followed[name].flatten().tolist(), strict=True
            )
        ]
        assert parameter.flatten().tolist() == pytest.approx(expected, rel=1e-6, abs=1e-7)
    for name, tensor in networks.state_dict().items():
        assert torch.equal(tensor, followed[name]), name


@pytest.mark.parametrize(("momentum", "like"), [(1.0, 0), (0.0, 1)])
def test_momentum_1_freezes_and_0_copies_exactly(momentum: float, like: int) -> None:
    twin = _networks(0)
    expected = _tensors(_networks(like))
    follow(twin, _networks(1), momentum)
    for name, parameter in twin.named_parameters():
        assert torch.equal(parameter, expected[name]), name


def test_batch_statistics_are_each_networks_own() -> None:
    twin, networks = _networks(0), _networks(1)
    networks(torch.randn(32, 3, generator=torch.Generator().manual_seed(0)) + 5)
    before = _tensors(twin)
    assert (networks[1].running_mean - twin[1].running_mean).abs().max() > 0.1
    follow(twin, networks, 0.0)
    for name, buffer in twin.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_the_schedule_is_half_a_cosine_from_the_start_to_1() -> None:
    assert momentum_at(0.0, 0.99, "cosine") == pytest.approx(0.99)
    assert momentum_at(0.5, 0.99, "cosine") == pytest.approx(0.995)
    assert momentum_at(1.0, 0.99, "cosine") == pytest.approx(1.0)
    expected = 1 - 0.5 * (1.0 + math.cos(math.pi * 37 / 250)) * (1.0 - 0.9)
    assert momentum_at(37 / 250, 0.9, "cosine") == pytest.approx(expected)
    assert momentum_at(0.7, 0.99, "constant") == 0.99
