"""What the experiments are asked for alike."""

from typing import Literal

from pydantic import Field, field_validator

from workflows.config import WorkflowConfig


class ExperimentBase(WorkflowConfig):
    """Data, network, seeds and place of an experiment."""

    archive: str
    """Path or URL of an archive whose patches have labels and whose manifest has a split."""
    out: str
    """Folder of the experiment, on this machine."""
    train_split: str = "train"
    """Name of the manifest's split that teaches: all of pretraining and all labels are from it."""
    test_split: str = "test"
    """Name of the manifest's split that tests; all others are not touched."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Each a whole repetition: of shares, first weights, order and augmentation."""
    init: str = "published"
    """Weights that all begin with: published, random (by the seed), or a file."""
    input_px: int | None = Field(default=None, ge=8)
    """Side of the network's input in pixels; by default its own."""
    fraction_unit: Literal["slide", "patient", "patch"] = "slide"
    """What a share is made of."""
    resamples: int = Field(default=1000, ge=1, le=1_000_000)
    """Resamples of the patients for the intervals."""
    resample_seed: int = Field(default=0, ge=0)
    """Of the resamples."""
    processes: int | None = Field(default=None, ge=1, le=64)
    """Processes of a training; by default one per GPU, or one."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Number format of training; auto takes bf16 on a GPU that has it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPUs that there are."""
    overwrite: bool = False
    """Replace another experiment that the folder holds."""

    @field_validator("seeds")
    @classmethod
    def _known_seeds(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if not values or min(values) < 0:
            raise ValueError("give at least one seed, none below 0")
        return tuple(dict.fromkeys(values))


class ExperimentConfig(ExperimentBase):
    """An experiment that pretrains encoders."""

    fraction_unit: Literal["slide", "patch"] = "slide"
    """What a share is made of."""
    pretext_optimizer: Literal["adamw", "adam", "lars", "sgd"] | None = None
    """Optimiser of pretraining; this and the options below are the method's own by default."""
    pretext_lr: float | None = Field(default=None, gt=0)
    """Learning rate of pretraining, for a batch of 256 where the method scales it."""
    pretext_weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay of pretraining."""
    pretext_batch: int | None = Field(default=None, ge=2)
    """Patches of a step of pretraining; never more than there are."""
    temperature: float | None = Field(default=None, gt=0)
    """Of contrastive losses."""
    on_collapse: Literal["stop", "warn"] = "stop"
    """What to do when all embeddings become alike in pretraining; stop makes the cell fail."""


def known_shares(values: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse what is no share; the smallest first, each once."""
    if not values or any(not 0 < value <= 1 for value in values):
        raise ValueError("every fraction must be above 0 and at most 1")
    return tuple(sorted(set(values)))
