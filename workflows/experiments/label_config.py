"""The config of `microtome experiment label-efficiency`."""

from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from workflows.config import nearest
from workflows.experiments.config import ExperimentConfig, known_shares
from workflows.pretraining.config import MethodName

ORGAN = "+organ"
"""Ends the name of a method that begins with what another archive taught."""

SUPERVISED = "supervised"

PAPER = (SUPERVISED, "rotnet", "rotnet-jitter", "simclr")


class LabelEfficiencyConfig(ExperimentConfig):
    """Compare ways to pretrain over shares of the labels, cell by cell.

    A cell is a method, a share and a seed: pretraining on the patches of the share without their
    labels, then fine-tuning of the whole network with them, then the test. Settings are those of
    the breast-histology study, Adam at 3e-4 for pretraining and 1e-4 for fine-tuning. Run the same
    command again to go on where it was stopped or killed. The file is TOML or JSON; every option
    below may stand in it.
    """

    methods: tuple[str, ...] = ()
    """Methods of `microtome pretrain`, supervised (no pretraining), or either with +organ: after
    SimCLR on organ_archive. By default supervised, rotnet, rotnet-jitter, simclr, and simclr+organ
    where there is an organ_archive."""
    fractions: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0)
    """Shares of the labels, each part of the next larger one of the same seed."""
    methods_at_full: Literal["all", "supervised"] = "all"
    """What is run with all labels; the paper ran the supervised baseline alone."""
    encoder: str = "resnet50"
    """Network (`microtome encoders`)."""
    pretext_data: Literal["fraction", "all"] = "fraction"
    """What pretraining sees: the patches of the share, or all of the training split."""
    pretext_epochs: int = Field(default=100, ge=1)
    """Passes of pretraining."""
    organ_archive: str | None = None
    """Archive of another organ, for methods with +organ; its labels are not used."""
    organ_split: str | None = None
    """Only slides of this split of organ_archive."""
    organ_method: MethodName = "simclr"
    """How organ_archive is learned from."""
    organ_epochs: int | None = Field(default=None, ge=1)
    """Passes over organ_archive; by default as many as pretext_epochs."""
    finetune_epochs: int = Field(default=100, ge=1)
    """Passes of fine-tuning; the one of the lowest loss on held-out training patients is kept."""
    finetune_batch: int = Field(default=64, ge=2)
    """Patches of a step of fine-tuning."""
    finetune_lr: float = Field(default=1e-4, gt=0)
    """Learning rate of fine-tuning (Adam)."""

    @property
    def chosen_methods(self) -> tuple[str, ...]:
        """Methods in their order; the paper's where none are named."""
        if self.methods:
            return self.methods
        return PAPER if self.organ_archive is None else (*PAPER, f"simclr{ORGAN}")

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        known = get_args(MethodName)
        for value in values:
            if value.removesuffix(ORGAN) not in known:
                raise ValueError(f"no method {value!r}; {nearest(value, known)}")
        return tuple(dict.fromkeys(values))

    @field_validator("fractions")
    @classmethod
    def _known_fractions(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return known_shares(values)

    @model_validator(mode="after")
    def _organ_is_there(self) -> "LabelEfficiencyConfig":
        chained = [name for name in self.methods if name.endswith(ORGAN)]
        if chained and self.organ_archive is None:
            raise ValueError(f"the method {chained[0]} needs --organ-archive")
        return self
