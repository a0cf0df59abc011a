"""Configs of the trainings of tissue networks; None stands for the published value."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from workflows.config import POSITIONAL, WorkflowConfig


def _is_name(name: str) -> str:
    if name == "masks" or not re.fullmatch("[A-Za-z][A-Za-z0-9-]*", name):
        raise ValueError(
            f"pseudo masks are named by letters, digits and -, and not masks, which are the true "
            f"ones; got {name!r}"
        )
    return name


MasksName = Annotated[str, AfterValidator(_is_name)]


class TissueTrainConfig(WorkflowConfig):
    """What both stages are asked for."""

    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Archives of patches, as `microtome import patches` or `microtome tile` make them."""
    out: str
    """Folder of the run, on a disk that all its workers see."""
    name: str | None = None
    """Name of the new network; by default its architecture's and the stage's."""
    split: str | None = None
    """Learn from slides of this split; by default train, or all where there is no such split."""
    val_split: str = "val"
    """Slides whose true masks judge the network after an epoch; where there are none, nothing
    does."""
    val_epochs: int = Field(default=1, ge=0)
    """Judge every so many epochs; 0 never."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over the patches; 20 for a classifier, 30 for a segmenter."""
    batch: int | None = Field(default=None, ge=1)
    """Patches of a step, of all processes together; 20."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a step is computed in, one after the other, where the memory is too small."""
    optimizer: Literal["adamw", "adam", "lars", "sgd"] | None = None
    """Optimiser; sgd as published."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; what is new in the network learns ten times faster. Lower it with larger
    batches."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay; .0005."""
    momentum: float | None = Field(default=None, ge=0, lt=1)
    """Of sgd: 0 for a classifier, .9 for a segmenter."""
    seed: int = Field(default=0, ge=0)
    """Of weights, order, dropout and augmentation."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Number format; auto takes bf16 on a GPU that has it. Losses are float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPUs that there are."""
    processes: int | None = Field(default=None, ge=1, le=64)
    """Processes on this machine; by default one per GPU, or one. `torchrun` may start them too."""
    scheduler: str | None = None
    """Address of a Dask scheduler one of whose workers has the resource GPU and trains."""
    workers: int | None = Field(default=None, ge=0, le=64)
    """Processes that read and decode, per training process; 0 uses threads. Auto by default."""
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    """Save the state that often, besides after every epoch."""
    log_steps: int = Field(default=10, ge=1)
    """Write a line of metrics every so many steps."""
    overwrite: bool = False
    """Replace another run that the folder holds."""


class SegmentClassifyConfig(TissueTrainConfig):
    """Train a classifier that says which tissues a patch holds, from labels of patches.

    Run the same command again to go on where a run was stopped or killed.
    """

    backbone: str = "resnet38"
    """resnet38, a convolutional encoder (`microtome encoders`), or the file of a checkpoint."""
    init: str | None = None
    """Weights to start from: random, or a file; by default the backbone's own."""
    output_stride: Literal[8, 16, 32] | None = None
    """Pixels of the patch per pixel of the last map; by default the backbone's own."""
    pda: Literal["code", "paper", "none"] = "code"
    """Schedule of progressive dropout attention: of the published code, of the paper, or none."""
    white: bool = True
    """White is background in masks, as in LUAD-HistoSeg; --no-white for sets such as BCSS, where
    it is tissue."""
    keep: Literal["last", "best"] = "last"
    """Which weights are kept: the last ones, or those of the best epoch."""


class SegmentTrainConfig(TissueTrainConfig):
    """Train a segmenter on pseudo masks, or on true ones for comparison.

    Run the same command again to go on where a run was stopped or killed.
    """

    masks: tuple[str, ...] = ("pseudo",)
    """Name of the pseudo masks, whose layers are taken; or arrays, such as masks for the true
    ones."""
    mask_weights: tuple[float, ...] | None = None
    """Weight of each layer in the loss, the last layer first; by default .6 .2 .2, or 1 for one
    array."""
    architecture: str = "deeplabv3plus"
    """Of segmentation-models-pytorch, such as deeplabv3plus, unet, fpn."""
    encoder: str = "resnet101"
    """Its encoder; tu-NAME for a network of timm."""
    encoder_weights: str | None = None
    """File of weights that the encoder starts from; drawn by the seed without."""
    decoder_channels: int | None = Field(default=None, ge=1)
    """Channels of the decoder of deeplabv3 and deeplabv3plus; 256."""
    background: Literal["ignore", "literal"] = "ignore"
    """Background pixels do not count; or the published code's extra class, which pushes logits
    above 0."""
    white: bool | None = None
    """White is background, as `evaluate` counts it; by default as in the pseudo masks."""
    divide_by_batch: bool = False
    """Divide the loss by the batch once more, as the published code does."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those of the best epoch, or the last ones."""
