import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import timm.optim
import torch
from torch import nn

from models.training.method import Clock, Learner, StepLoss, Views
from models.training.optimizers import Lars, build_optimizer
from models.training.schedule import set_learning_rate
from models.training.settings import OptimizerName, TrainSettings

NAMES: tuple[OptimizerName, ...] = ("adamw", "adam", "lars", "sgd")


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)
        self.twin = nn.Linear(3, 2).requires_grad_(False)
        self.temperature = nn.Parameter(torch.tensor(0.5))


def _settings(optimizer: OptimizerName, *, decay_all: bool = False) -> TrainSettings:
    return TrainSettings(
        epochs=1, batch=512, optimizer=optimizer, base_lr=0.1, weight_decay=0.3, decay_all=decay_all
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("decay_all", [False, True])
def test_only_weights_with_more_than_one_dimension_decay(
    name: OptimizerName, decay_all: bool
) -> None:
    net = _Net()
    names = {id(param): name for name, param in net.named_parameters()}
    found = {
        names[id(param)]: group["weight_decay"]
        for group in build_optimizer(net, _settings(name, decay_all=decay_all)).param_groups
        for param in group["params"]
    }
    thin = 0.3 if decay_all else 0.0
    assert found == {
        "conv.weight": 0.3,
        "head.weight": 0.3,
        "conv.bias": thin,
        "norm.weight": thin,
        "norm.bias": thin,
        "head.bias": thin,
        "temperature": thin,
    }


@pytest.mark.parametrize(
    ("name", "kind", "momentum"),
    [
        ("adamw", torch.optim.AdamW, None),
        ("adam", torch.optim.Adam, None),
        ("lars", Lars, 0.9),
        ("sgd", torch.optim.SGD, 0.9),
    ],
)
def test_optimisers_start_at_the_peak_rate(
    name: OptimizerName, kind: type, momentum: float | None
) -> None:
    optimizer = build_optimizer(_Net(), _settings(name))
    assert type(optimizer) is kind
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]  # 0.1 * 512 / 256
    assert {group.get("momentum") for group in optimizer.param_groups} == {momentum}


def test_a_network_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), _settings("sgd"))


@pytest.mark.parametrize("decay_all", [False, True])
def test_lars_follows_its_rule_number_by_number(decay_all: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    net = nn.Linear(3, 2).double()
    optimizer = build_optimizer(net, _settings("lars", decay_all=decay_all))
    values = {name: param.detach().flatten().tolist() for name, param in net.named_parameters()}
    speeds = {name: [0.0] * len(known) for name, known in values.items()}
    for rate in (0.0, 0.7, 0.2, 0.4):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for name, param in net.named_parameters():
            param.grad = torch.randn(param.shape, generator=generator, dtype=torch.float64)
            change = param.grad.flatten().tolist()
            if name == "weight" or decay_all:
                change = [g + 0.3 * w for g, w in zip(change, values[name], strict=True)]
            if name == "weight":
                long = math.sqrt(sum(w * w for w in values[name]))
                wide = math.sqrt(sum(c * c for c in change))
                change = [c * 0.001 * long / wide for c in change]
            for i, c in enumerate(change):
                speeds[name][i] = 0.9 * speeds[name][i] + c
                values[name][i] -= rate * speeds[name][i]
        optimizer.step()
        for name, param in net.named_parameters():
            assert param.detach().flatten().tolist() == pytest.approx(values[name], rel=1e-12)


def test_lars_without_decay_is_that_of_another_library() -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn((4, 5), generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = Lars([{"params": [ours]}], 0.5)
    other = timm.optim.Lars([theirs], lr=0.5, momentum=0.9, always_adapt=True, eps=0.0)
    for _ in range(5):
        ours.grad = torch.randn((4, 5), generator=generator)
        theirs.grad = ours.grad.clone()
        optimizer.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_lars_does_not_scale_where_a_length_is_zero() -> None:
    empty, still = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = Lars([{"params": [empty, still]}], 1.0)
    empty.grad, still.grad = torch.full((2, 2), 3.0), torch.zeros(2, 2)
    optimizer.step()
    assert torch.equal(empty, torch.full((2, 2), -3.0))
    assert torch.equal(still, torch.ones(2, 2))


def test_lars_leaves_parameters_without_gradients_and_the_gradients_alone() -> None:
    moved, left = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = Lars([{"params": [moved, left], "weight_decay": 0.5}], 1.0)
    moved.grad = torch.ones(2, 2)
    optimizer.step()
    assert torch.equal(moved.grad, torch.ones(2, 2))
    assert torch.equal(left, torch.ones(2, 2))
    assert not optimizer.state[left]


def test_lars_gives_the_loss_of_its_closure() -> None:
    param = nn.Parameter(torch.ones(2, 2))
    optimizer = Lars([{"params": [param]}], 1.0)

    def closure() -> float:
        loss = param.square().sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 4.0
    # 1 - 0.001 * |w| / |g| * g, with |w| = 2, |g| = 4, g = 2
    torch.testing.assert_close(param.detach(), torch.full((2, 2), 0.999))


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_weights_learn_the_same(name: OptimizerName) -> None:
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        net = _Net().to(memory_format=layout)
        optimizer = build_optimizer(net, _settings(name))
        images = torch.randn((4, 2, 6, 6), generator=torch.Generator().manual_seed(2))
        for _ in range(3):
            optimizer.zero_grad()
            seen = net.norm(net.conv(images)).relu().mean(dim=(2, 3))
            net.head(seen).square().sum().backward()
            optimizer.step()
        results.append(net.conv.weight.detach().contiguous())
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_a_gradient_in_memory_does_not_matter(name: OptimizerName) -> None:
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        generator = torch.Generator().manual_seed(3)
        net = nn.Conv2d(3, 4, 2, bias=False)
        net.weight.data = torch.randn(4, 3, 2, 2, generator=generator)
        net.to(memory_format=torch.channels_last)
        optimizer = build_optimizer(net, _settings(name))
        for _ in range(3):
            gradient = torch.randn(4, 3, 2, 2, generator=generator)
            net.weight.grad = gradient.contiguous(memory_format=layout)
            optimizer.step()
        results.append(net.weight.detach())
    torch.testing.assert_close(results[0], results[1])


class _Uneven(Learner):
    """A head that learns four times faster."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _Net()

    def faster(self) -> Mapping[str, float]:
        return {"net.head": 4.0}

    def forward(self, views: Views, prepared: object, number: int, clock: Clock) -> StepLoss:
        raise NotImplementedError


@pytest.mark.parametrize("name", NAMES)
def test_parts_may_learn_faster_and_decay_as_before(name: OptimizerName) -> None:
    learner = _Uneven()
    optimizer = build_optimizer(learner, _settings(name))
    set_learning_rate(optimizer, 0.05)
    names = {id(param): name for name, param in learner.net.named_parameters()}
    found = {
        names[id(param)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for param in group["params"]
    }
    assert found == {
        "conv.weight": (0.05, 0.3),
        "head.weight": (0.2, 0.3),
        "conv.bias": (0.05, 0.0),
        "norm.weight": (0.05, 0.0),
        "norm.bias": (0.05, 0.0),
        "head.bias": (0.2, 0.0),
        "temperature": (0.05, 0.0),
    }


def test_the_momentum_of_sgd_may_be_chosen() -> None:
    settings = replace(_settings("sgd"), momentum=0.0)
    assert {g["momentum"] for g in build_optimizer(_Net(), settings).param_groups} == {0.0}
