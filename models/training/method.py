"""What a method gives the training loop: a loss of views, and what happens around a step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from models.encoders.encoder import Encoder


class Clock(NamedTuple):
    """Where a run stands; all counted from 0.

    Attributes:
        step: optimiser steps done.
        steps: of the whole run.
        epoch: of this step.
        epochs: of the whole run.
        between: number of a step of an interlude, which is none of the run's own; else None.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    between: int | None = None

    @property
    def progress(self) -> float:
        """Share of the run that is done, t / T, in [0, 1)."""
        return self.step / self.steps


class Views(NamedTuple):
    """One micro-batch of b patches on its device; a named tuple, as Fabric walks through those.

    Attributes:
        images: one tensor per view, each `(b, 3, H, W)`, normalised; the preset fixes how many.
        slide: slide of each patch, int64 `(b,)`.
        patch: index in the data set, int64 `(b,)`: the patch's own number.
        label: class, int64 `(b,)`, or 1 and 0 per class, int8 `(b, C)`; -1 unknown; None where the
            data has none.
        masks: class of each pixel of the first view in one or several opinions, uint8
            `(b, M, H, W)`; None where the data has none.
        partition: ordered class of each patch's position, int64 `(b,)`; -1 unknown; None where the
            data has none.
    """

    images: tuple[Tensor, ...]
    slide: Tensor
    patch: Tensor
    label: Tensor | None
    masks: Tensor | None = None
    partition: Tensor | None = None


class StepLoss(NamedTuple):
    """What `Method.forward` gives.

    Attributes:
        loss: scalar, float32: of this rank's rows, to be averaged over ranks and micro-batches.
        metrics: scalars by name, detached; averaged like the loss.
        watched: `(b, D)` detached embeddings of one view, for the collapse guard.
    """

    loss: Tensor
    metrics: dict[str, Tensor]
    watched: Tensor


class Learner(nn.Module, ABC):
    """Something that the loop trains.

    The loop calls, in every step: `begin_step` once with all micro-batches and no gradient, then
    `forward` and a backward pass for each, then `end_gradients`, the optimiser, and `end_step`. All
    state that a resumed run needs is in parameters and buffers. Parameters without `requires_grad`
    are not trained.

    Attributes:
        exact_accumulation: micro-batches give the same loss as the whole batch, apart from batch
            statistics.
    """

    exact_accumulation: ClassVar[bool] = False

    def faster(self) -> Mapping[str, float]:
        """Give the parts, by name, whose rate is a multiple of the others'."""
        return {}

    def begin_step(self, micro: Sequence[Views], clock: Clock) -> Any:
        """Prepare a step, without gradient; what is given here reaches every `forward`."""
        del micro, clock

    @abstractmethod
    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give the loss of micro-batch `number`, (b rows of this rank)."""

    def end_gradients(self, clock: Clock) -> None:
        """Change gradients, after the last backward pass of a step and before the optimiser."""
        del clock

    def end_step(self, prepared: Any, clock: Clock) -> None:
        """Finish a step, without gradient, after the optimiser."""
        del prepared, clock


class Method(Learner):
    """A learning method around an encoder.

    Attributes:
        encoder: what is trained and kept.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
