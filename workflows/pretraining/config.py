"""The config of `microtome pretrain`; None stands for the method's own value."""

from typing import Annotated, Literal

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig

MethodName = Literal[
    "simclr", "rotnet", "rotnet-jitter", "mocov3", "ops", "srcl", "nsam", "ds", "supervised"
]


class PretrainConfig(WorkflowConfig):
    """Train an encoder on the patches of archives, without labels (or with, for comparison).

    Run the same command again to go on where a run was stopped or killed. The folder then holds the
    encoder with its card, which `microtome embed --encoder FILE` takes, metrics and curves.
    """

    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Paths or URLs of archives, whose patches are taken together."""
    out: str
    """Folder of the run, on a disk that all its workers see."""
    method: MethodName
    """simclr, rotnet, rotnet-jitter, mocov3 (ops is the same), srcl, nsam, ds, or supervised."""
    encoder: str | None = None
    """Network to train (`microtome encoders`); by default the method's."""
    init: str | None = None
    """Weights to start from: random, published, or the file of a checkpoint, which makes this a
    second stage; by default the method's."""
    input_px: int | None = Field(default=None, ge=8)
    """Side of the network's input in pixels; by default its own. Patches are cropped to it."""
    name: str | None = None
    """Name of the new encoder; by default the network's and the method's."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over the patches."""
    batch: int | None = Field(default=None, ge=2)
    """Patches of a step, of all processes together."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a step is computed in, one after the other, where the memory is too small."""
    optimizer: Literal["adamw", "adam", "lars", "sgd"] | None = None
    """Optimiser; AdamW's decay spares biases and norms."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate, for a batch of 256 where the method scales it."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay."""
    warmup_epochs: float | None = Field(default=None, ge=0)
    """Epochs in which the rate rises from 0."""
    scale_lr: bool | None = None
    """Multiply the rate by batch / 256; by default as the method does."""
    constant_lr: bool | None = None
    """Keep the rate as it is, without warm-up and cosine; by default as the method does."""
    temperature: float | None = Field(default=None, gt=0)
    """Temperature of the contrastive loss."""
    simclr_head: Literal["plain", "bn"] | None = None
    """Head of simclr: with batch normalisation, or plain."""
    momentum: float | None = Field(default=None, ge=0, le=1)
    """Of the key encoder at the start; it ends at 1."""
    queue: int | None = Field(default=None, ge=0)
    """Keys of earlier steps that are kept as further negatives and candidates."""
    positives: int | None = Field(default=None, ge=0)
    """S: neighbours that srcl promotes, nsam removes, ds works up to."""
    plain_epochs: int | None = Field(default=None, ge=0)
    """Epochs before srcl, nsam and ds begin to select."""
    pool: Literal["any", "same_slide", "other_slides"] | None = None
    """Where srcl and ds look for neighbours."""
    rule: Literal["similar", "same_slide"] | None = None
    """What nsam removes from the negatives."""
    ds_mode: Literal["schedule", "threshold", "both"] | None = None
    """What decides how many neighbours ds takes: the epoch, the similarity, or both."""
    ds_threshold: float | None = None
    """Cosine from which ds counts a neighbour."""
    ds_action: Literal["promote", "remove"] | None = None
    """What ds does with its neighbours: further positives, or no negatives."""
    crop_min: float | None = Field(default=None, gt=0, le=1)
    """Smallest share of a patch's area that a crop shows."""
    d4: bool = True
    """Also turn views by quarters and flip them, as tissue has no up; never for rotnet."""
    stain: float = Field(default=0.0, ge=0, le=1)
    """Strength of stain jitter (haematoxylin, eosin, DAB); 0 is none."""
    sampler: Literal["shuffle", "balanced", "k-per-slide", "one-slide"] = "shuffle"
    """Every patch once; every slide equally often; k patches of each slide of a batch; one slide
    per batch."""
    per_slide: int = Field(default=4, ge=1)
    """Patches of each slide in a batch of k-per-slide."""
    split: str | None = None
    """Only slides of this split in the manifest."""
    fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the data; a smaller one is part of a larger one of the same seed."""
    fraction_unit: Literal["slide", "patch"] = "slide"
    """What a share is made of."""
    stratify: bool = False
    """Take the share of every class alike; patches without a label sit out."""
    fraction_seed: int | None = Field(default=None, ge=0)
    """Of the share; by default the seed of the run."""
    seed: int = Field(default=0, ge=0)
    """Of weights, order and augmentation."""
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
    compile: bool = False
    """Compile the network; takes minutes, and pays on a GPU."""
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    """Save the state that often, besides after every epoch."""
    log_steps: int = Field(default=10, ge=1)
    """Write a line of metrics every so many steps."""
    knn_epochs: int = Field(default=1, ge=0)
    """Score by nearest neighbours every so many epochs where patches have labels; 0 never."""
    on_collapse: Literal["stop", "warn"] = "stop"
    """What to do when all embeddings become alike."""
    overwrite: bool = False
    """Replace another run that the folder holds."""
