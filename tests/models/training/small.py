"""A small network with all that a state must keep, and steps that depend on their number alone."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.training.optimizers import build_optimizer
from models.training.schedule import learning_rate, set_learning_rate
from models.training.settings import OptimizerName, TrainSettings

STEPS = 8


class SmallNet(nn.Module):
    """Convolution in channels-last order, batch statistics, tied weights, a slow twin, a counter.

    Attributes:
        idle: gets no gradient, so the optimiser remembers nothing of it.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(2, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.head.weight
        self.twin = nn.Linear(6, 6).requires_grad_(False)
        self.idle = nn.Parameter(torch.ones(3, 2))
        self.temperature = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("queue", torch.zeros(3, 6))
        self.register_buffer("place", torch.tensor(0))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.norm(self.conv(images)).relu().mean(dim=(2, 3))
        made = self.tied(self.head(seen).tanh()) / self.temperature
        loss = (made - self.twin(seen) - self.queue.mean(0)).square().mean()
        with torch.no_grad():
            self.queue[int(self.place) % 3] = made[0]
            self.place += 1
        return loss


def settings_of(optimizer: OptimizerName) -> TrainSettings:
    return TrainSettings(
        epochs=2, batch=256, optimizer=optimizer, base_lr=0.03, weight_decay=0.1, warmup_epochs=0.5
    )


def start(name: OptimizerName, seed: int = 0) -> tuple[SmallNet, Optimizer]:
    net = SmallNet(seed)
    return net, build_optimizer(net, settings_of(name))


def train(net: SmallNet, optimizer: Optimizer, name: OptimizerName, steps: range) -> list[float]:
    """Do steps of a run of `STEPS`; gives their losses."""
    losses = []
    for step in steps:
        generator = torch.Generator().manual_seed(1000 + step)
        images = torch.randn((4, 2, 6, 6), generator=generator)
        set_learning_rate(optimizer, learning_rate(settings_of(name), step, STEPS // 2))
        optimizer.zero_grad()
        loss = net(images)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            net.twin.weight.lerp_(net.head.weight, 0.1)
        losses.append(float(loss.detach()))
    return losses


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether all parameters and buffers are equal to the bit."""
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)
