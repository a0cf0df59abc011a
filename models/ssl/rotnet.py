"""RotNet: say by how many quarter turns a patch was turned."""

from typing import Any, ClassVar

import torch
from torch.nn import functional

from models.encoders.encoder import Encoder
from models.losses.precision import full_precision
from models.ssl.heads import TURNS, drawn_from, rotation_head
from models.ssl.settings import MethodSettings
from models.ssl.views import require_views
from models.training.method import Clock, Method, StepLoss, Views


class RotNet(Method):
    """RotNet, and RotNet+Jitter where the views' colours are distorted after they are turned.

    Gidaris, Singh, Komodakis, Unsupervised Representation Learning by Predicting Image Rotations,
    ICLR 2018, arXiv 1803.07728, equations (2) and (3); METHODS 6. View k of a patch is turned by
    k quarter turns and has label k; all four are in the same batch. Rotation accuracy is logged:
    near-perfect early accuracy is a warning that the task is solved from scan artefacts.

    Differs from the paper: one Linear on the encoder's output (our choice).

    Args:
        encoder: is trained.
        settings: of the method; none applies.
        seed: of the head's weights.
    """

    exact_accumulation: ClassVar[bool] = True

    def __init__(self, encoder: Encoder, settings: MethodSettings, *, seed: int) -> None:
        super().__init__(encoder)
        del settings
        with drawn_from(seed):
            self.head = rotation_head(encoder.card.dim)

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give the cross-entropy of the turns of 4 b images."""
        del prepared, number, clock
        require_views(views, TURNS)
        count = len(views.patch)
        embedded = self.encoder(torch.cat(views.images))  # (4 b, D), all of one turn together
        logits = self.head(embedded)
        label = torch.arange(TURNS, device=logits.device).repeat_interleave(count)
        with full_precision(logits):
            loss = functional.cross_entropy(logits.float(), label)
        right = (logits.detach().argmax(dim=1) == label).float().mean()
        return StepLoss(loss, {"accuracy": right}, embedded[:count].detach())
