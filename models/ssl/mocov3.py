"""MoCo v3, which is also the plain baseline of the sampling strategies (OPS)."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.dist import gather, rank
from models.encoders.encoder import Encoder
from models.errors import DataError
from models.losses.contrast import contrast, mean_contrast
from models.losses.precision import unit_rows
from models.ssl.heads import drawn_from, family_of, moco_predictor, moco_projector
from models.ssl.keys import Keys, Queries, Queue, Rows
from models.ssl.momentum import follow, momentum_at, twin_of
from models.ssl.roles import Roles, plain
from models.ssl.settings import MethodSettings
from models.ssl.views import require_views
from models.training.method import Clock, Method, StepLoss, Views


class Prepared(NamedTuple):
    """The keys of a step.

    Attributes:
        keys: of view 1 and of view 2; of all ranks, rank after rank, and of each rank micro-batch
            after micro-batch; then the queue.
        first: index of the first own key of each of this rank's micro-batches.
        momentum: m of this step.
    """

    keys: tuple[Keys, Keys]
    first: tuple[int, ...]
    momentum: float


class MoCoV3(Method):
    """MoCo v3: tell the key of the own patch from those of all others.

    Chen, Xie, He, An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021,
    arXiv 2104.02057, equation (1) and Algorithm 1; METHODS 3. With Q (b, D) of one view and K
    (N, D) of the other, ctr(Q, K) = 2 tau mean_i CE(Q K^T / tau, own key), and
    L = ctr(q1, k2) + ctr(q2, k1).

    Differs from the paper: an optional queue behind the keys (our choice; none by default). The
    twin moves before the queries are computed and not after, which changes no number: they need
    the networks alone.

    Args:
        encoder: is trained; a ViT's patch projection is frozen where `freeze_patch`.
        settings: of the method.
        seed: of the heads' weights.

    Attributes:
        projector: behind the encoder.
        predictor: behind the projector, of the queries only.
        twin: encoder and projector that give keys; they follow the trained ones.
        queue: keys of earlier steps.
    """

    exact_accumulation: ClassVar[bool] = True

    def __init__(self, encoder: Encoder, settings: MethodSettings, *, seed: int) -> None:
        super().__init__(encoder)
        self.settings = settings
        family, hidden, features = family_of(encoder), settings.hidden, settings.features
        with drawn_from(seed):
            self.projector = moco_projector(encoder.card.dim, hidden, features, family)
            self.predictor = moco_predictor(hidden, features, family)
        if settings.freeze_patch:
            freeze_patch_projection(encoder)
        self.twin = twin_of(self._followed())
        self.queue = Queue(settings.queue, features)

    @torch.no_grad()
    def begin_step(self, micro: Sequence[Views], clock: Clock) -> Prepared:
        """Move the twin, and give the keys of all micro-batches of all ranks."""
        settings = self.settings
        momentum = momentum_at(clock.progress, settings.momentum, settings.momentum_schedule)
        follow(self.twin, self._followed(), momentum)
        vectors = torch.cat([self._keys(views) for views in micro])  # (n, 2, D)
        whose = torch.cat([torch.stack([part.slide, part.patch], dim=1) for part in micro])
        vectors, whose = gather(vectors), gather(whose)  # (N, 2, D), (N, 2)
        slide, patch = whose.unbind(dim=1)
        first, second = (Rows(one.contiguous(), slide, patch) for one in vectors.unbind(dim=1))
        sizes = [len(part.patch) for part in micro]
        starts = accumulate(sizes[:-1], initial=rank() * sum(sizes))
        keys = (self.queue.behind(first, 0), self.queue.behind(second, 1))
        return Prepared(keys, tuple(starts), momentum)

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give ctr(q1, k2) + ctr(q2, k1) of a micro-batch."""
        require_views(views, 2)
        embedded = [self.encoder(images) for images in views.images]
        count = len(views.patch)
        own = torch.arange(count, device=views.patch.device) + prepared.first[number]
        losses, metrics = [], []
        for vectors, keys in zip(embedded, reversed(prepared.keys), strict=True):
            found = unit_rows(self.predictor(self.projector(vectors)))
            queries = Queries(Rows(found, views.slide, views.patch), own)
            loss, told = self._contrast(queries, keys, clock)
            losses.append(loss)
            metrics.append(told)
        means = {name: (metrics[0][name] + metrics[1][name]) / 2 for name in metrics[0]}
        means["momentum"] = torch.full((), prepared.momentum, device=own.device)
        return StepLoss(losses[0] + losses[1], means, embedded[0].detach())

    @torch.no_grad()
    def end_step(self, prepared: Any, clock: Clock) -> None:
        """Put the keys of this step into the queue."""
        del clock
        first, second = (Rows(*(one[: keys.fresh] for one in keys.rows)) for keys in prepared.keys)
        self.queue.push(first, second)

    def roles(self, queries: Queries, keys: Keys, clock: Clock) -> Roles:
        """Say which keys are positives and which are left out; another strategy changes this."""
        del clock
        return plain(queries, keys)

    def _contrast(
        self, queries: Queries, keys: Keys, clock: Clock
    ) -> tuple[Tensor, dict[str, Tensor]]:
        settings, roles = self.settings, self.roles(queries, keys, clock)
        found = contrast(
            queries.rows.vectors,
            keys.rows.vectors,
            roles.positives,
            temperature=settings.temperature,
            removed=roles.removed,
            block=settings.block,
        )
        metrics = roles.metrics | {"negatives": found.negatives.float().mean()}
        counted = torch.ones_like(found.negatives, dtype=torch.bool)
        if roles.drops:
            counted = found.negatives > 0
            _require_some(counted)
            metrics["left_out"] = 1 - counted.float().mean()
        return mean_contrast(found, counted, settings.temperature), metrics

    def _followed(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.projector)

    def _keys(self, views: Views) -> Tensor:
        """Give the keys of both views of a micro-batch, (b, 2, D)."""
        require_views(views, 2)
        return torch.stack([unit_rows(self.twin(images)) for images in views.images], dim=1)


def freeze_patch_projection(encoder: Encoder) -> None:
    """Train no patch projection of a ViT, which makes MoCo v3 steadier (source, moco-v3).

    Only a projection of whole patches, so neither a convolutional stem nor a Swin transformer's,
    which the original does not have.
    """
    projection = getattr(getattr(encoder.network, "patch_embed", None), "proj", None)
    if "vit" not in encoder.card.architecture.lower() or not isinstance(projection, nn.Conv2d):
        return
    if projection.kernel_size == projection.stride != (1, 1):
        projection.requires_grad_(requires_grad=False)


def _require_some(counted: Tensor) -> None:
    if not counted.any():
        raise DataError(
            "no query has a negative left, as every other key was removed; choose a sampler that "
            "mixes more slides in a batch (shuffle, balanced or k-per-slide), or a larger batch"
        )
