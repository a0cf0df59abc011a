"""The config of `microtome distill`; None stands for the published value (METHODS 8)."""

from typing import Annotated, Literal

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig


class DistillConfig(WorkflowConfig):
    """Train a classifier from few labels and many patches without, by self-evolving distillation.

    An initial model learns from the labelled part. In round T a student learns from the first T
    folds of all other patches, whose labels are not looked at: from its slowly following teacher,
    corrected at intervals by the labelled part. Patches without a label (-1) always come without.
    Each stage has a folder; run the same command again to go on where it was stopped or killed.
    """

    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Paths or URLs of archives, whose patches are taken together; some have labels."""
    out: str
    """Folder of all stages, on a disk that all workers see."""
    rounds: int | None = Field(default=None, ge=0)
    """Rounds T; by default as many as folds. 0 trains the initial model alone; more can follow."""
    folds: int = Field(default=3, ge=1)
    """Parts of the patches without labels, of nearly the same size; each round has one more."""
    labelled: float = Field(default=0.1, gt=0, le=1)
    """Share of the labelled slides or patients whose labels teach, of every class alike; 1 takes
    all labels, and only patches that have none come without."""
    fraction_unit: Literal["slide", "patient", "patch"] = "patient"
    """What shares and folds are made of."""
    fraction_seed: int | None = Field(default=None, ge=0)
    """Of labelled part and folds; by default the seed of the run."""
    teach_folds: int = Field(default=0, ge=0)
    """Also teach the labels of so many folds to the initial model: what full labels would give."""
    split: str = "train"
    """Split of the manifest whose slides teach."""
    test_split: str = "test"
    """Split whose labelled patches score every student."""
    test_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the patients that test where the manifest has no splits."""
    initial: str | None = None
    """Model to begin round 1 with, of another run's stage (model.safetensors), instead of training
    an initial one."""
    encoder: str = "vit-small-8"
    """Network to begin with (`microtome encoders`), or the file of a checkpoint."""
    init: str = "published"
    """Its weights: published, random (by the seed), or the file of a checkpoint."""
    input_px: int | None = Field(default=None, ge=8)
    """Side of whole views in pixels; by default 256 where patches are as large, else the
    network's own."""
    local_px: int | None = Field(default=None, ge=4)
    """Side of local views in pixels; by default half of that."""
    normalise: bool | None = None
    """Subtract the encoder's mean and divide by its deviation, as its weights expect; by default
    unless they are random: the paper's images are in 0 to 1."""
    name: str | None = None
    """Name of the new encoder; by default the network's and the method's."""
    target: Literal["binary", "exclusive", "multilabel"] | None = None
    """What labels are: one of two classes, one of several, or any of several; by default as the
    archive has them."""
    epochs: int = Field(default=5, ge=1)
    """Passes over the patches of a round."""
    ssl_epochs: int | None = Field(default=None, ge=0)
    """First epochs with self-supervision; by default all."""
    initial_epochs: int | None = Field(default=None, ge=1)
    """Passes over the labelled part for the initial model; by default as many as epochs."""
    batch: int = Field(default=8, ge=1)
    """Patches of a step, of all processes together."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a step is computed in, one after the other, where the memory is too small."""
    lr: float = Field(default=5e-5, gt=0)
    """Learning rate, for a batch of 16; falls as half a cosine to 1e-6."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay, .01 by default; biases and norms are spared."""
    warmup_epochs: float | None = Field(default=None, ge=0)
    """Epochs in which the rate rises from 0; by default 1, or a fifth of fewer than 5."""
    weight: float | None = Field(default=None, ge=0, le=1)
    """Lambda, of self-supervision against labels, .5 by default."""
    correct_steps: int | None = Field(default=None, ge=1)
    """Steps from one pass over the labelled part to the next, the first before step 0; 500."""
    self_supervision: bool = True
    """Without it the term of self-supervision is left out."""
    self_training: bool = True
    """Without it the term of soft pseudo-labels is left out."""
    correction: bool = True
    """Without it there is no pass over the labelled part."""
    momentum: float | None = Field(default=None, ge=0, le=1)
    """Of the teacher at the start, .9995 by default; it ends at 1."""
    prototypes: int | None = Field(default=None, ge=2)
    """Outputs of the head of self-supervision, 65,536 by default."""
    hidden: int | None = Field(default=None, ge=1)
    """Width inside that head, 2,048 by default."""
    drop_path: float | None = Field(default=None, ge=0, lt=1)
    """Rate of stochastic depth of the student, .1 by default."""
    infer_blur_px: float = Field(default=0.0, ge=0)
    """Blur of images before a student is scored; the paper has .5, we have none."""
    resamples: int = Field(default=1000, ge=1, le=1_000_000)
    """Resamples of the patients for the intervals."""
    seed: int = Field(default=0, ge=0)
    """Of weights, order and augmentation."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Number format; auto takes bf16 on a GPU that has it. Losses are float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPUs that there are."""
    processes: int | None = Field(default=None, ge=1, le=64)
    """Processes on this machine; by default one per GPU, or one."""
    scheduler: str | None = None
    """Address of a Dask scheduler one of whose workers has the resource GPU and trains."""
    workers: int | None = Field(default=None, ge=0, le=64)
    """Processes that read and decode, per training process; 0 uses threads. Auto by default."""
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    """Save the state that often, besides after every epoch."""
    log_steps: int = Field(default=10, ge=1)
    """Write a line of metrics every so many steps."""
    on_collapse: Literal["stop", "warn"] = "warn"
    """What to do when all embeddings become alike; two classes may well end on one line."""
    overwrite: bool = False
    """Replace other stages that the folder holds."""

    @property
    def asked_rounds(self) -> int:
        """Rounds T."""
        return self.folds if self.rounds is None else self.rounds


class StageConfig(DistillConfig):
    """What one stage of `microtome distill` is asked for."""

    round: int = Field(ge=0)
    """T; 0 is the initial model."""
    start: str | None = None
    """Model of the stage before."""
