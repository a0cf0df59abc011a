"""How a network is trained: plain values, no torch."""

from dataclasses import dataclass, replace
from typing import Literal

OptimizerName = Literal["adamw", "adam", "lars", "sgd"]
Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Optimisation of one run; the blocks of METHODS 2.5.

    Attributes:
        epochs: passes over the rows.
        batch: patches of a step, N: of all ranks and micro-batches together.
        accumulate: micro-batches of a step.
        optimizer: adamw, adam, lars or sgd.
        base_lr: learning rate; of a batch of 256 where `scale_lr`.
        scale_lr: multiply by N / 256.
        weight_decay: of parameters with more than one dimension, or of all where `decay_all`.
        decay_all: also decay biases and norms (METHODS 2.5, our choice is not to).
        warmup_epochs: linear from 0; then half a cosine, set per step.
        final_lr: rate that the cosine falls to.
        constant_lr: no warm-up and no cosine.
        poly: power of (1 - t / T), instead of half a cosine after the warm-up; None for the cosine.
        momentum: of sgd.
        clip: largest norm of the gradient; None does not clip.
    """

    epochs: int
    batch: int
    accumulate: int = 1
    optimizer: OptimizerName = "adamw"
    base_lr: float = 1.5e-4
    scale_lr: bool = True
    weight_decay: float = 0.1
    decay_all: bool = False
    warmup_epochs: float = 0.0
    final_lr: float = 0.0
    constant_lr: bool = False
    poly: float | None = None
    momentum: float = 0.9
    clip: float | None = None


def fit_batch(settings: TrainSettings, patches: int, unit: int) -> tuple[TrainSettings, list[str]]:
    """Make the batch a multiple of `unit`, and no larger than the data; also say so."""
    batch = min(settings.batch, patches) // unit * unit
    if batch in (0, settings.batch):
        return replace(settings, batch=max(batch, unit)), []
    told = (
        f"the batch is {batch}, not {settings.batch}: a multiple of {unit}, and no more than the "
        f"{patches:,} patches"
    )
    return replace(settings, batch=batch), [told]
