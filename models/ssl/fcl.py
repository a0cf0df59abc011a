"""FCL: patches at the same position are alike, at the own site and at others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from models.encoders.encoder import Encoder
from models.errors import DataError
from models.losses.positional import positional_contrast
from models.losses.precision import unit_rows
from models.ssl.bank import Bank, draw_entries, empty_bank, join_banks
from models.ssl.heads import drawn_from, simclr_projector
from models.ssl.momentum import follow, twin_of
from models.ssl.views import require_views
from models.training.method import Clock, Method, StepLoss, Views
from tiling.epochs import epoch_generator

Positives = Literal["any_volume", "other_volumes"]
Negatives = Literal["partition", "literal"]
DRAW_STREAM = 11
"""Sets the draws of Q' apart from the orders and the augmentation of the same seed."""


@dataclass(frozen=True, slots=True)
class FclSettings:
    """What FCL can be told (METHODS 9.2, 9.4).

    Attributes:
        temperature: tau, .1 (source, sister code).
        momentum: m of the twin, .99 throughout (our choice).
        features: length of what is compared, 512 (source, sister code).
        entries: most entries of a site's bank, 4096 (our choice).
        drawn: K, entries that are drawn of all banks in each step; None takes the size of the
            site's own bank, so that it does not grow with the number of sites (our choice).
        positives: local ones of any volume or slide (source, figure), or of others only.
        negatives: entries of other partitions (our choice, as in the figure), or all that were
            drawn, as the equation has it (`literal`).

    Raises:
        ValueError: a value is out of its range.
    """

    temperature: float = 0.1
    momentum: float = 0.99
    features: int = 512
    entries: int = 4096
    drawn: int | None = None
    positives: Positives = "any_volume"
    negatives: Negatives = "partition"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be from 0 to 1, got {self.momentum}")
        for name in ("features", "entries", "drawn"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.positives not in get_args(Positives) or self.negatives not in get_args(Negatives):
            raise ValueError(f"no such positives or negatives: {self.positives}, {self.negatives}")


class Prepared(NamedTuple):
    """What all micro-batches of a step are compared with.

    Attributes:
        local: momentum features of the step's own patches, each of its second view.
        volume: volume or slide of each, (n,).
        drawn: Q'.
    """

    local: Bank
    volume: Tensor
    drawn: Bank


class Fcl(Method):
    """Federated contrastive learning, the part of one site.

    Y. Wu, D. Zeng, Z. Wang, Y. Shi, J. Hu, Federated Contrastive Learning for Volumetric Medical
    Image Segmentation, MICCAI 2021, arXiv 2204.10983; METHODS 9.2. With Q' drawn of all sites'
    banks, L(q) = l(q, same partition in Q', N) + l(q, same partition at the site, N), the remote
    and the local term, unweighted.

    Local positives are the twin's features of the second views of the step's patches (our choice:
    as fresh as can be; the paper says only that they are the site's), the own patch among them
    unless `other_volumes`. N is what Q' holds of other partitions, or all of it where `literal`.
    The twin follows after each step of the optimiser.

    Differs from the paper: as METHODS 9.2 says, in N. One process: keys of other ranks do not
    count. What is held by `hold` is no parameter and no buffer, so it is in no checkpoint.

    Args:
        encoder: is trained.
        settings: of the method.
        seed: of the head's weights.

    Attributes:
        projector: behind the encoder.
        twin: encoder and projector that make all that is stored or exchanged.
    """

    exact_accumulation: ClassVar[bool] = True

    def __init__(self, encoder: Encoder, settings: FclSettings, *, seed: int) -> None:
        super().__init__(encoder)
        self.settings = settings
        with drawn_from(seed):
            self.projector = simclr_projector(encoder.card.dim, settings.features, "plain")
        self.twin = twin_of(self._followed())
        self.hold(empty_bank(settings.features), [], seed=seed)

    def hold(self, local: Bank, remote: Sequence[Bank], *, seed: int) -> None:
        """Take the banks of a round.

        Args:
            local: of this site.
            remote: of the others.
            seed: of what is drawn in each step.
        """
        device = next(self.encoder.parameters()).device
        self._bank = join_banks([local, *remote]).to(device)
        self._count = local.size if self.settings.drawn is None else self.settings.drawn
        self._seed = seed

    @torch.no_grad()
    def begin_step(self, micro: Sequence[Views], clock: Clock) -> Prepared:
        """Give the keys of all micro-batches, and draw Q'."""
        keys = torch.cat([self._keys(views) for views in micro])
        local = Bank(keys, torch.cat([_partition(views) for views in micro]))
        rng = epoch_generator(self._seed + (DRAW_STREAM << 32), clock.step)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        drawn = draw_entries(self._bank, self._count, generator)
        return Prepared(local, torch.cat([views.slide for views in micro]), drawn)

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give the mean of remote and local loss of a micro-batch."""
        del number, clock
        embedded = self.encoder(views.images[0])
        queries, partition = unit_rows(self.projector(embedded)), _partition(views)
        local, drawn, volume = prepared.local, prepared.drawn, prepared.volume
        near = partition[:, None] == local.partition
        if self.settings.positives == "other_volumes":
            near = near & (views.slide[:, None] != volume)
        alike = partition[:, None] == drawn.partition
        far = torch.ones_like(alike) if self.settings.negatives == "literal" else ~alike
        tau = self.settings.temperature
        told = {
            "remote": positional_contrast(
                queries, drawn.features, alike, drawn.features, far, temperature=tau
            ).mean(),
            "local": positional_contrast(
                queries, local.features, near, drawn.features, far, temperature=tau
            ).mean(),
        }
        metrics = {name: value.detach() for name, value in told.items()}
        return StepLoss(told["remote"] + told["local"], metrics, embedded.detach())

    @torch.no_grad()
    def end_step(self, prepared: Any, clock: Clock) -> None:
        """Move the twin."""
        del prepared, clock
        follow(self.twin, self._followed(), self.settings.momentum)

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Give the twin's features of plain images, rows of length 1, (B, D)."""
        return unit_rows(self.twin(images))

    def _followed(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.projector)

    def _keys(self, views: Views) -> Tensor:
        require_views(views, 2)
        return self.embed(views.images[1])


def _partition(views: Views) -> Tensor:
    if views.partition is None:
        raise DataError(
            "FCL learns from positions, and these patches have no partition; volumes get one when "
            "they are imported, slides by `microtome partition`"
        )
    return views.partition
