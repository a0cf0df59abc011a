"""What trainings of METHODS 10 are asked for, as plain JSON values: they may run elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from models.segmentation.pda import PdaName
from models.segmentation.stage2 import White
from models.training.settings import Precision

Keep = Literal["best", "last"]


@dataclass(frozen=True, kw_only=True)
class TissueJob:
    """What both stages are asked for, all choices made.

    Attributes:
        archives: locations; their patches are taken together.
        folder: of the run, where states and the network are kept.
        identity: of the request; states of another are not taken up.
        name: of the new network; empty for that of its architecture.
        split: slides to learn from; None for those of the split train, or all if there is none.
        val_split: slides whose true masks judge every epoch; where there are none nothing does.
        keep: which weights become the network: those of the best epoch, or the last ones.
        training: fields of `TrainSettings` that differ from the published ones.
        seed: of weights, order, dropout and augmentation.
        precision, device, workers: how it is computed.
        save_seconds, log_steps, val_epochs: habits of the loop.
    """

    archives: tuple[str, ...]
    folder: str
    identity: str
    name: str = ""
    split: str | None = None
    val_split: str = "val"
    keep: Keep = "last"
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    precision: Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    save_seconds: float = 600.0
    log_steps: int = 10
    val_epochs: int = 1

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read one from JSON values."""
        known = {one.name for one in fields(cls)}
        given = {name: document[name] for name in document if name in known}
        for name in ("archives", "masks", "weights_of_masks"):
            if given.get(name) is not None:
                given[name] = tuple(given[name])
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class ClassifyJob(TissueJob):
    """Stage 1.

    Attributes:
        backbone: `resnet38`, an encoder's name, or the file of one of our checkpoints.
        weights: `random:SEED`, a file, or None for those that belong to the name.
        output_stride: of the last map; None for the network's own.
        pda: schedule of progressive dropout attention; None for none.
        white: white is background in masks (LUAD); else it is tissue like other (BCSS).
    """

    backbone: str
    weights: str | None = None
    output_stride: int | None = None
    pda: PdaName | None = "code"
    white: bool = True


@dataclass(frozen=True, kw_only=True)
class SegmentJob(TissueJob):
    """Stage 2, or the same network on true masks.

    Attributes:
        masks: name of pseudo masks, or arrays of masks, the most trusted first.
        weights_of_masks: one for each; None for .6, .2, .2, or 1 where there is one.
        architecture: of segmentation-models-pytorch.
        encoder: of it, or `tu-NAME` for one of timm.
        encoder_weights: a file; None for drawn ones.
        options: of the architecture.
        background: what becomes of its pixels.
        white: white is background; None as the masks say.
        divide_by_batch: as published.
    """

    masks: tuple[str, ...]
    weights_of_masks: tuple[float, ...] | None = None
    architecture: str
    encoder: str
    encoder_weights: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    background: White = "ignore"
    white: bool | None = None
    divide_by_batch: bool = False
