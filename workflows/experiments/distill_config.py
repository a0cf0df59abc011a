"""The config of `microtome experiment distillation`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from workflows.experiments.config import ExperimentBase

Ablation = Literal["self-supervision", "self-training", "correction"]
ABLATIONS: tuple[Ablation, ...] = ("self-supervision", "self-training", "correction")


class DistillationConfig(ExperimentBase):
    """Compare rounds of distillation with full supervision and with ablations, cell by cell.

    A cell is a row of the table and a seed: the initial model, round T, a model that was taught
    the labels of the same patches, or the last round without one of its parts. Settings are those
    of `microtome distill`. Run the same command again to go on where it was stopped or killed. The
    file is TOML or JSON; every option below may stand in it.
    """

    encoder: str = "vit-small-8"
    """Network (`microtome encoders`), or the file of a checkpoint."""
    local_px: int | None = Field(default=None, ge=4)
    """Side of local views in pixels; by default half of the whole ones."""
    normalise: bool | None = None
    """Subtract the encoder's mean and divide by its deviation; by default unless its weights are
    random."""
    labelled: float = Field(default=0.1, gt=0, lt=1)
    """Share of the labelled slides or patients whose labels teach, of every class alike."""
    fraction_unit: Literal["slide", "patient", "patch"] = "patient"
    """What shares and folds are made of."""
    folds: int = Field(default=3, ge=1)
    """Parts of all other patches; round T learns from the first T."""
    supervised: tuple[int, ...] | None = None
    """Folds whose labels are taught too, a row each: what full labels of the same patches would
    give; by default all folds. Empty leaves it out."""
    ablations: tuple[Ablation, ...] = ABLATIONS
    """Parts that the last round is also run without."""
    epochs: int = Field(default=5, ge=1)
    """Passes over the patches of a round."""
    ssl_epochs: int | None = Field(default=None, ge=0)
    """First epochs with self-supervision; by default all."""
    initial_epochs: int | None = Field(default=None, ge=1)
    """Passes of the initial model over the labelled part; by default as many as epochs."""
    supervised_epochs: int | None = Field(default=None, ge=1)
    """Passes of full supervision over its patches; by default as many as initial_epochs."""
    batch: int = Field(default=8, ge=1)
    """Patches of a step."""
    lr: float = Field(default=5e-5, gt=0)
    """Learning rate, for a batch of 16."""
    correct_steps: int | None = Field(default=None, ge=1)
    """Steps from one pass over the labelled part to the next; by default 500."""
    momentum: float | None = Field(default=None, ge=0, le=1)
    """Of the teacher at the start, .9995 by default."""
    prototypes: int | None = Field(default=None, ge=2)
    """Outputs of the head of self-supervision, 65,536 by default."""
    hidden: int | None = Field(default=None, ge=1)
    """Width inside that head, 2,048 by default."""
    drop_path: float | None = Field(default=None, ge=0, lt=1)
    """Rate of stochastic depth of the student, .1 by default."""
    scheduler: str | None = None
    """Address of a Dask scheduler one of whose workers has the resource GPU and trains."""

    @property
    def taught(self) -> tuple[int, ...]:
        """Folds of each supervised row."""
        return (self.folds,) if self.supervised is None else self.supervised

    @field_validator("ablations", "supervised")
    @classmethod
    def _once_each(cls, values: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if values is None else tuple(dict.fromkeys(values))

    @model_validator(mode="after")
    def _known_folds(self) -> "DistillationConfig":
        wrong = [number for number in self.taught if not 0 < number <= self.folds]
        if wrong:
            raise ValueError(f"supervised: there are {self.folds} folds, got {wrong[0]}")
        return self
