"""The supervised baseline: learn the patches' labels."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from models.dist import gather, world_size
from models.encoders.encoder import Encoder
from models.errors import LabelsError
from models.losses.precision import full_precision
from models.ssl.heads import classifier, drawn_from
from models.ssl.settings import MethodSettings
from models.ssl.views import require_views
from models.training.method import Clock, Method, StepLoss, Views

UNKNOWN = -1
"""Label of a patch whose class nobody said; it does not count."""


class Supervised(Method):
    """Cross-entropy of a Linear behind the encoder (METHODS 7.2).

    The baseline of Yeong-Jin Kim, Mi-Gyung Cho, Self-supervised learning using different type of
    data within the domain for small-volume medical data learning. Differs from the paper:
    optimiser, batch and augmentation are unknown, so they are ours.

    The mean is over the labelled patches of the whole step, of all ranks and micro-batches.

    Args:
        encoder: is trained.
        settings: of the method; none applies.
        classes: number of them.
        seed: of the head's weights.

    Raises:
        LabelsError: there are fewer than two classes, or the patches have no labels.
    """

    exact_accumulation: ClassVar[bool] = True

    def __init__(
        self, encoder: Encoder, settings: MethodSettings, *, classes: int, seed: int
    ) -> None:
        super().__init__(encoder)
        del settings
        if classes < 2:
            raise LabelsError(f"a classifier needs at least two classes, got {classes}")
        with drawn_from(seed):
            self.head = classifier(encoder.card.dim, classes)

    @torch.no_grad()
    def begin_step(self, micro: Sequence[Views], clock: Clock) -> Tensor:
        """Count the labelled patches of the step: gives their mean number per micro-batch."""
        del clock
        counts = torch.stack([(_labels(views) != UNKNOWN).sum() for views in micro])
        return gather(counts).sum() / (len(micro) * world_size())

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give the cross-entropy of a micro-batch, its part of the step's mean."""
        del number, clock
        require_views(views, 1)
        label = _labels(views)
        embedded = self.encoder(views.images[0])
        logits = self.head(embedded)
        least = torch.finfo(torch.float32).tiny  # a step without any label has a loss of 0
        with full_precision(logits):
            total = functional.cross_entropy(
                logits.float(), label, ignore_index=UNKNOWN, reduction="sum"
            )
        right = (logits.detach().argmax(dim=1) == label).sum()
        counted = prepared.clamp(min=least)
        return StepLoss(total / counted, {"accuracy": right / counted}, embedded.detach())


def _labels(views: Views) -> Tensor:
    if views.label is None or views.label.ndim > 1:
        raise LabelsError(
            "supervised training needs a class per patch, and the archive has none; "
            "`microtome import patches` writes them, and the other methods need none"
        )
    return views.label.long()
