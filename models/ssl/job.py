"""What a pretraining is asked for, as plain JSON values: it may run in another process."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from models.training.feed import SamplerName
from models.training.settings import Precision


@dataclass(frozen=True)
class PretrainJob:
    """One pretraining, all choices made.

    Attributes:
        archives: locations; their patches are taken together.
        folder: of the run, where states and the encoder are kept.
        identity: of the request; states of another are not taken up.
        method: name in `models.ssl.table.METHODS`.
        encoder: name of the network, or the file of a checkpoint.
        weights: `random:SEED`, a file, or None for those that belong to the name.
        input_px: side of the network's input; None for its own.
        name: of the new encoder; empty for the network's and the method's.
        training: fields of `TrainSettings` that differ from the method's.
        settings: fields of `MethodSettings` that differ from the method's.
        crop_min, d4, stain: of the augmentation; None is the preset's own.
        sampler, per_slide: of `models.training.feed.Sampling`.
        split: only slides of this split; None for all.
        fraction, fraction_unit, stratify, fraction_seed: which share of the patches.
        seed: of weights of heads, order and augmentation.
        precision, device, workers, compile: how it is computed.
        save_seconds, log_steps, knn_epochs, stop_on_collapse: habits of the loop.
    """

    archives: tuple[str, ...]
    folder: str
    identity: str
    method: str
    encoder: str
    weights: str | None = None
    input_px: int | None = None
    name: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    crop_min: float | None = None
    d4: bool = True
    stain: float = 0.0
    sampler: SamplerName = "shuffle"
    per_slide: int = 4
    split: str | None = None
    fraction: float = 1.0
    fraction_unit: Literal["slide", "patch"] = "slide"
    stratify: bool = False
    fraction_seed: int = 0
    seed: int = 0
    precision: Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    compile: bool = False
    save_seconds: float = 600.0
    log_steps: int = 10
    knn_epochs: int = 1
    stop_on_collapse: bool = True

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "PretrainJob":
        """Read one from JSON values."""
        known = {name: document[name] for name in document if name in _FIELDS}
        return cls(**known | {"archives": tuple(document["archives"])})


_FIELDS = {one.name for one in fields(PretrainJob)}
