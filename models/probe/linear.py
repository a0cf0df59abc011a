"""A linear classifier on embeddings that stay as they are.

X. Chen, S. Xie, K. He, An empirical study of training self-supervised vision transformers, ICCV
2021, arXiv 2104.02057, linear probing: SGD with momentum .9, no decay, batch 1024, 90 epochs, rate
base x batch / 256 with a half-cosine per epoch, base .1 for a ResNet and 3 for a ViT. Differs from
the paper: embeddings are stored, so images are not cropped at random; a batch is never larger than
the data, and the rate follows the batch that is used.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.errors import NumericsError
from models.probe.tensors import Floats, as_scores, features_tensor, labels_tensor
from models.probe.weights import LinearProbe

RESNET_RATE, VIT_RATE = 0.1, 3.0
START_STD = 0.01
"""Standard deviation of the first weights, as in the paper's code."""


@dataclass(frozen=True, slots=True)
class LinearSettings:
    """How the classifier learns.

    Attributes:
        rate: base learning rate, for a batch of 256.
        batch: rows of a step.
        epochs: passes over the rows.
        momentum: of SGD.
        decay: of weights.
        standardise: bring each dimension to mean 0 and deviation 1 of the training rows first.
    """

    rate: float = RESNET_RATE
    batch: int = 1024
    epochs: int = 90
    momentum: float = 0.9
    decay: float = 0.0
    standardise: bool = False


@dataclass(frozen=True)
class LinearFit:
    """What came of it.

    Attributes:
        scores: probabilities of the test rows, (m, C).
        losses: mean training loss of each epoch.
        probe: the classifier.
    """

    scores: Floats
    losses: tuple[float, ...]
    probe: LinearProbe


def usual_rate(architecture: str) -> float:
    """Choose the base rate by the network: 3 for vision transformers, .1 for all others."""
    name = architecture.partition(":")[2] or architecture
    return VIT_RATE if name.startswith(("vit", "deit")) else RESNET_RATE


def fit_linear(
    train: ArrayLike,
    labels: ArrayLike,
    test: ArrayLike,
    classes: int,
    *,
    seed: int,
    settings: LinearSettings = LinearSettings(),
) -> LinearFit:
    """Learn on the CPU; the same seed and threads give the same scores, bit for bit.

    Args:
        train: embeddings (n, D).
        labels: class of each, (n,).
        test: embeddings (m, D).
        classes: number of classes, C.
        seed: of first weights and order.
        settings: of learning.

    Raises:
        NumericsError: the loss became NaN or infinite.
    """
    known, unknown = features_tensor(train), features_tensor(test)
    mean, scale = _moments(known, standardise=settings.standardise)
    if settings.standardise:  # else both would only be copied
        known, unknown = (known - mean) / scale, (unknown - mean) / scale
    target = labels_tensor(labels)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(classes, known.shape[1]).normal_(0, START_STD, generator=generator)
    weight, bias = weight.requires_grad_(), torch.zeros(classes, requires_grad=True)
    losses = _descend((weight, bias), known, target, settings, generator)
    with torch.no_grad():
        logits = unknown @ weight.T + bias
    if not torch.isfinite(logits).all():
        raise _diverged(settings.epochs, float("nan"))
    probe = LinearProbe(*(part.detach().numpy() for part in (weight, bias, mean, scale)))
    return LinearFit(as_scores(logits.double().softmax(dim=1)), losses, probe)


def _descend(
    weights: tuple[Tensor, Tensor],
    features: Tensor,
    labels: Tensor,
    settings: LinearSettings,
    generator: torch.Generator,
) -> tuple[float, ...]:
    batch = min(settings.batch, len(features))
    base = settings.rate * batch / 256
    optimizer = torch.optim.SGD(
        weights, lr=base, momentum=settings.momentum, weight_decay=settings.decay
    )
    losses = []
    for epoch in range(settings.epochs):
        rate = base * 0.5 * (1 + math.cos(math.pi * epoch / settings.epochs))
        for group in optimizer.param_groups:
            group["lr"] = rate
        order = torch.randperm(len(features), generator=generator)
        total = 0.0
        for rows in torch.split(order, batch):
            loss = cross_entropy(features[rows] @ weights[0].T + weights[1], labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / len(features))
        if not np.isfinite(losses[-1]):
            raise _diverged(epoch, losses[-1])
    return tuple(losses)


def _moments(train: Tensor, *, standardise: bool) -> tuple[Tensor, Tensor]:
    """What each dimension is to be less, and divided by, (D,) both."""
    nothing = torch.zeros_like(train[0]), torch.ones_like(train[0])
    if not standardise:
        return nothing
    mean, std = train.mean(dim=0), train.std(dim=0, unbiased=False)
    return mean, torch.where(std > 0, std, nothing[1])  # a dead dimension stays zero


def _diverged(epoch: int, loss: float) -> NumericsError:
    return NumericsError(
        f"the linear probe's loss is {loss} in epoch {epoch}; "
        "use a lower --linear-rate, or --standardise"
    )
