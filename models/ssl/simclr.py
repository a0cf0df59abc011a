"""SimCLR: two views of a patch find each other among those of all others."""

from typing import Any

import torch

from models.dist import gather_with_grad, rank
from models.encoders.encoder import Encoder
from models.losses.ntxent import nt_xent
from models.losses.precision import unit_rows
from models.ssl.heads import drawn_from, simclr_projector
from models.ssl.settings import MethodSettings
from models.ssl.views import require_views
from models.training.method import Clock, Method, StepLoss, Views


class SimClr(Method):
    """SimCLR.

    Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual
    Representations, ICML 2020, arXiv 2002.05709, Algorithm 1; METHODS 5. Both views go through the
    networks as one batch.

    Differs from the paper: the mean over rows instead of Google's code's sum (our choice). With
    several micro-batches negatives come from the micro-batch only, so accumulation is not exact.

    Args:
        encoder: is trained.
        settings: of the method.
        seed: of the head's weights.
    """

    def __init__(self, encoder: Encoder, settings: MethodSettings, *, seed: int) -> None:
        super().__init__(encoder)
        self.settings = settings
        with drawn_from(seed):
            self.projector = simclr_projector(
                encoder.card.dim, settings.features, settings.simclr_head
            )

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give NT-Xent of a micro-batch, among the same micro-batch of all ranks."""
        del prepared, number, clock
        require_views(views, 2)
        count = len(views.patch)
        embedded = self.encoder(torch.cat(views.images))  # (2 b, D)
        found = unit_rows(self.projector(embedded))
        first, second = found[:count], found[count:]
        loss = nt_xent(
            first,
            second,
            gather_with_grad(first),
            gather_with_grad(second),
            temperature=self.settings.temperature,
            offset=rank() * count,
            block=self.settings.block,
        )
        return StepLoss(loss, {}, embedded[:count].detach())
