"""A small student, and made-up views of ten each."""

from typing import Any

import torch

from models.distilling.branch import Branch
from models.distilling.method import Distl
from models.distilling.settings import DistlSettings
from models.losses.distl import Target
from models.training.method import Clock, Views
from tests.models.ssl.tiny import SIDE, encoder

SMALL: dict[str, Any] = {"prototypes": 11, "hidden": 9, "features": 5, "class_hidden": 7}
LOCAL = 6
CLOCK = Clock(step=30, steps=100, epoch=1, epochs=5)


def settings(**changes: Any) -> DistlSettings:
    return DistlSettings(**(SMALL | changes))


def branch(*, norm: bool = False, classes: int = 1, seed: int = 0) -> Branch:
    return Branch(encoder(seed, norm=norm), classes, settings(), seed=seed)


def method(
    *,
    norm: bool = False,
    classes: int = 1,
    target: Target = "binary",
    initial: bool = False,
    **changes: Any,
) -> Distl:
    student = branch(norm=norm, classes=classes)
    teacher = branch(norm=norm, classes=classes, seed=5)
    return Distl(student, teacher, settings(**changes), target, initial=initial)


def views(
    count: int = 4, seed: int = 0, *, labels: list[int] | None = None, number: int = 10
) -> Views:
    generator = torch.Generator().manual_seed(seed)
    sides = [SIDE, SIDE, *[LOCAL] * 8]
    images = tuple(torch.randn(count, 3, side, side, generator=generator) for side in sides)
    order = torch.arange(count)
    return Views(images[:number], order, order, None if labels is None else torch.tensor(labels))
