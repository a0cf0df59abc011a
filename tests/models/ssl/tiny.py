"""Small networks and made-up views for the tests of methods."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.encoders import Encoder
from models.ssl.settings import MethodSettings
from models.training.method import Clock, Views
from tests.models.probe.planted import card

SIDE, DIM = 8, 6
SMALL: dict[str, Any] = {"hidden": 12, "features": 5, "plain_epochs": 0}
CLOCK = Clock(step=30, steps=100, epoch=6, epochs=20)


def encoder(seed: int = 0, *, norm: bool = False, name: str = "tiny") -> Encoder:
    """Two convolutions, with batch normalisation between them where asked."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(3, 4, 3, stride=2)]
        layers += [nn.BatchNorm2d(4)] if norm else []
        layers += [nn.ReLU(), nn.Conv2d(4, DIM, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers)
    return Encoder(network, _tap, card(name, DIM))


def _tap(network: Any, images: Tensor) -> Tensor:
    found: Tensor = network(images)
    return found


def settings(**changes: Any) -> MethodSettings:
    return MethodSettings(**(SMALL | changes))


def views(
    count: int,
    seed: int = 0,
    *,
    number: int = 2,
    slides: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
) -> Views:
    """Views of patches that differ, of slides 0, 0, 1, 1, … unless told otherwise."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(count, 3, SIDE, SIDE, generator=generator)
    images = tuple(
        patches + torch.randn(patches.shape, generator=generator) / 2 for _ in range(number)
    )
    slide = torch.arange(count) // 2 if slides is None else torch.tensor(slides)
    label = None if labels is None else torch.tensor(labels)
    return Views(images, slide, 100 + torch.arange(count), label)


def part(whole: Views, rows: Any) -> Views:
    """Take some rows of views."""
    label = None if whole.label is None else whole.label[rows]
    images = tuple(view[rows] for view in whole.images)
    return Views(images, whole.slide[rows], whole.patch[rows], label)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Gradients by name; zeros where there is none."""
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in module.named_parameters()
    }
