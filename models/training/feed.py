"""From rows to steps: which patches each step sees, read ahead, and their augmentation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data import Batch, iterate_batches
from models.data.loading import Readable
from models.errors import DataError
from models.training.method import Views
from tiling.epochs import Indices, epoch_generator
from tiling.sampling import balanced, k_per_slide, one_slide_batches, shuffled

SamplerName = Literal["shuffle", "balanced", "k-per-slide", "one-slide"]
AUGMENT_STREAM = 7
"""Sets the stream of augmentation apart from that of the order, which has the seed and epoch."""


class Augmentation(Protocol):
    """Draws and applies views; `models.augment` has them."""

    def draw(self, count: int, rng: np.random.Generator) -> Any:
        """Draw parameters of all views of so many images; they have `rows(indices)`."""

    def apply(self, pixels: Tensor, params: Any) -> tuple[Tensor, ...]:
        """Give the views, each `(B, 3, side, side)`, of uint8 `(B, H, W, 3)`."""

    def follow(self, masks: Tensor, params: Any) -> Tensor:
        """Move masks, uint8 `(B, M, H, W)`, as the first view; asked only where there are any."""


@dataclass(frozen=True)
class Sampling:
    """How the steps of an epoch are drawn; every step has exactly N patches.

    Attributes:
        rows: patches that take part, indices in the data set, `(M,)`.
        slides: slide of each, `(M,)`.
        batch: N, of all ranks and micro-batches.
        sampler: shuffle, balanced, k-per-slide or one-slide.
        per_slide: k of k-per-slide, which divides N.
        seed: of the order.

    Raises:
        DataError: no epoch has a whole step.
    """

    rows: Indices
    slides: Indices
    batch: int
    sampler: SamplerName = "shuffle"
    per_slide: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what gives no step."""
        if self.sampler == "k-per-slide" and self.batch % self.per_slide:
            raise DataError(
                f"a batch of {self.batch} is no multiple of {self.per_slide} patches per slide"
            )
        if not self.steps_per_epoch:
            raise DataError(
                f"the {len(self.rows):,} patches of {len(np.unique(self.slides)):,} slides do not "
                f"fill one batch of {self.batch} by the sampler {self.sampler}; use a smaller "
                "batch, or another sampler"
            )

    @cached_property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, the same in all; patches that do not fill the last sit out."""
        return len(self.epoch(0))

    def epoch(self, number: int) -> Indices:
        """Give the patches of each step of an epoch, `(steps, N)`."""
        drawn = _DRAW[self.sampler](self, epoch_generator(self.seed, number))
        if drawn.ndim == 1:
            drawn = drawn[: len(drawn) // self.batch * self.batch].reshape(-1, self.batch)
        return self.rows[drawn]


_Draw = Callable[[Sampling, np.random.Generator], Indices]
_DRAW: dict[str, _Draw] = {
    "shuffle": lambda given, rng: shuffled(len(given.rows), rng),
    "balanced": lambda given, rng: balanced(given.slides, rng),
    "k-per-slide": lambda given, rng: k_per_slide(
        given.slides,
        rng,
        per_slide=given.per_slide,
        slides_per_batch=given.batch // given.per_slide,
    ),
    "one-slide": lambda given, rng: one_slide_batches(given.slides, rng, batch_size=given.batch),
}


class Share(NamedTuple):
    """What one process does of every step.

    Attributes:
        rank: of this process.
        ranks: processes; rank r takes rows r, r + W, … of a step.
        accumulate: micro-batches that its rows are cut into.
    """

    rank: int
    ranks: int
    accumulate: int

    def places(self, batch: int) -> NDArray[np.int64]:
        """Give this process's rows of a step, `(accumulate, b)`."""
        return np.arange(batch)[self.rank :: self.ranks].reshape(self.accumulate, -1)


@dataclass(frozen=True)
class Feed:
    """Gives the views of every step from any step on; the same ones however it is resumed.

    Attributes:
        patches: where pixels are.
        sampling: which patches.
        augmentation: what is made of them.
        share: of this process.
        device: where views are made.
        workers: processes that read and decode; 0 uses threads.
    """

    patches: Readable
    sampling: Sampling
    augmentation: Augmentation
    share: Share
    device: torch.device
    workers: int = 0

    def batches(self, step: int, steps: int) -> Iterator[Batch]:
        """Read this process's patches of steps `step` to `steps - 1`, ahead of their use."""
        return iterate_batches(
            self.patches,
            self._orders(step, steps),
            workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )

    def views(self, batch: Batch, step: int) -> list[Views]:
        """Make the views of a step's micro-batches on the device."""
        count, places = self.sampling.batch, self.share.places(self.sampling.batch)
        rng = epoch_generator(self.sampling.seed + (AUGMENT_STREAM << 32), step)
        params = self.augmentation.draw(count, rng)
        moved = batch.to(self.device, non_blocking=True)
        size = places.shape[1]
        return [
            self._part(moved, slice(i * size, (i + 1) * size), params.rows(rows))
            for i, rows in enumerate(places)
        ]

    def _orders(self, step: int, steps: int) -> Iterator[Indices]:
        per_epoch = self.sampling.steps_per_epoch
        mine = self.share.places(self.sampling.batch).reshape(-1)
        for epoch in range(step // per_epoch, -(-steps // per_epoch)):
            first = step - epoch * per_epoch if epoch == step // per_epoch else 0
            yield from self.sampling.epoch(epoch)[first : steps - epoch * per_epoch, mine]

    def _part(self, batch: Batch, rows: slice, params: Any) -> Views:
        images = self.augmentation.apply(batch.pixels[rows], params)
        return Views(
            tuple(view.contiguous(memory_format=torch.channels_last) for view in images),
            batch.slide[rows],
            batch.index[rows],
            None if batch.labels is None else batch.labels[rows],
            None if batch.masks is None else self.augmentation.follow(batch.masks[rows], params),
            None if batch.partition is None else batch.partition[rows],
        )
