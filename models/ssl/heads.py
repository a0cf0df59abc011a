"""Heads that training puts behind an encoder, and throws away after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from models.encoders.encoder import Encoder
from models.ssl.settings import SimclrHead

Family = Literal["transformer", "resnet"]
TURNS = 4
"""Quarter turns that RotNet tells apart."""


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Draw new weights from a seed, and leave torch's own stream as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone, where weights are drawn
        yield


def family_of(encoder: Encoder) -> Family:
    """Say which heads of MoCo v3 an encoder takes, by its architecture's name.

    The paper has ResNets and transformers; what is neither takes the transformers' (our choice).
    """
    return "resnet" if "resnet" in encoder.card.architecture.lower() else "transformer"


def moco_projector(dim: int, hidden: int, features: int, family: Family) -> nn.Sequential:
    """Give MoCo v3's projector (METHODS 3, source): 3 layers for transformers, 2 for ResNets.

    No Linear has a bias; BN and ReLU between layers, and at the end a BN without affine.

    Args:
        dim: of the encoder's output.
        hidden: width inside, 4096 there.
        features: of its output, 256 there.
        family: of the encoder.
    """
    inner = [hidden] if family == "resnet" else [hidden, hidden]
    return _layers([dim, *inner, features], last_norm=True)


def moco_predictor(hidden: int, features: int, family: Family) -> nn.Sequential:
    """Give MoCo v3's predictor (METHODS 3, source): 2 layers; a last BN for transformers only."""
    return _layers([features, hidden, features], last_norm=family == "transformer")


def simclr_projector(dim: int, features: int, kind: SimclrHead) -> nn.Sequential:
    """Give SimCLR's projector of 2 layers, hidden as wide as the encoder's output (METHODS 5).

    plain: Linear-ReLU-Linear. bn: BN after each Linear, which has no bias; the last BN has no
    affine and no ReLU follows it (our choice, after Google's code, which has no shift there).
    """
    if kind == "bn":
        return _layers([dim, dim, features], last_norm=True)
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, features))


def rotation_head(dim: int) -> nn.Linear:
    """Give RotNet's classifier of quarter turns (METHODS 6, our choice)."""
    return nn.Linear(dim, TURNS)


def classifier(dim: int, classes: int) -> nn.Linear:
    """Give the classifier of the supervised baseline (METHODS 7.2)."""
    return nn.Linear(dim, classes)


def _layers(widths: list[int], *, last_norm: bool) -> nn.Sequential:
    found: list[nn.Module] = []
    for width, following in pairwise(widths[:-1]):
        found += [nn.Linear(width, following, bias=False), nn.BatchNorm1d(following), nn.ReLU()]
    found.append(nn.Linear(widths[-2], widths[-1], bias=False))
    if last_norm:
        found.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*found)
