"""Cells of the label-efficiency experiment, and which pretraining each of them needs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from models.ssl.table import BREAST_STUDY
from workflows.experiments.label_config import ORGAN, SUPERVISED, LabelEfficiencyConfig
from workflows.experiments.pretext import Stage, effort
from workflows.pretraining.config import MethodName


@dataclass(frozen=True)
class LabelCell:
    """One method on one share of the labels, once.

    Attributes:
        pretext_work: of pretraining, in passes of patches through the network.
        tuning_work: of fine-tuning, in the same unit.
    """

    method: str
    fraction: float
    seed: int
    pretext_work: float = 0.0
    tuning_work: float = 1.0

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.method.replace('+', '-')}-{self.fraction}-seed{self.seed}"

    @property
    def work(self) -> float:
        """How much it takes."""
        return self.pretext_work + self.tuning_work

    def document(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"method": self.method, "fraction": self.fraction, "seed": self.seed}


def cells_of(config: LabelEfficiencyConfig, patches: int) -> list[LabelCell]:
    """Give all cells, seed after seed, small shares first.

    Args:
        config: of the experiment.
        patches: of the training split.
    """
    methods = config.chosen_methods
    at_full = {SUPERVISED} if config.methods_at_full == "supervised" else set(methods)
    return [
        LabelCell(
            method,
            fraction,
            seed,
            _pretext_work(config, method, fraction) * patches,
            config.finetune_epochs * fraction * patches,
        )
        for seed in config.seeds
        for fraction in config.fractions
        for method in methods
        if fraction < 1 or method in at_full
    ]


def stages_of(config: LabelEfficiencyConfig, cell: LabelCell) -> list[Stage]:
    """Give the pretraining stages of a cell in their order.

    The first begins with the experiment's `init`; the next with the encoder before it, which its
    caller knows. Cells that ask for the same stage share it by its name.
    """
    found = []
    if cell.method.endswith(ORGAN):
        found.append(_organ_stage(config, cell))
    method = cell.method.removesuffix(ORGAN)
    if method != SUPERVISED:
        found.append(_own_stage(config, cell, method))
    return found


def _organ_stage(config: LabelEfficiencyConfig, cell: LabelCell) -> Stage:
    stage = _stage(config, f"organ-seed{cell.seed}", config.organ_method, cell)
    return replace(
        stage,
        archive=config.organ_archive or "",
        split=config.organ_split,
        fraction=1.0,
        by_class=False,
        epochs=config.organ_epochs or config.pretext_epochs,
    )


def _own_stage(config: LabelEfficiencyConfig, cell: LabelCell, method: str) -> Stage:
    whole = config.pretext_data == "all"
    place = "all" if whole else f"{cell.fraction}"
    name = f"{cell.method.replace('+', '-')}-{place}-seed{cell.seed}"
    stage = _stage(config, name, _known(method), cell)
    return replace(stage, fraction=1.0, by_class=False) if whole else stage


def _stage(config: LabelEfficiencyConfig, name: str, method: MethodName, cell: LabelCell) -> Stage:
    return Stage(
        name,
        method,
        config.archive,
        config.train_split,
        cell.fraction,
        by_class=True,
        seed=cell.seed,
        epochs=config.pretext_epochs,
        init=config.init,
        options=_study(method),
    )


def _study(method: MethodName) -> dict[str, Any]:
    """Give the breast study's settings where the method's own are others (METHODS 5)."""
    if method != "simclr":
        return {}
    training, settings = BREAST_STUDY.training, BREAST_STUDY.method
    return {
        "optimizer": training.optimizer,
        "lr": training.base_lr,
        "batch": training.batch,
        "weight_decay": training.weight_decay,
        "scale_lr": training.scale_lr,
        "constant_lr": training.constant_lr,
        "temperature": settings.temperature,
        "simclr_head": settings.simclr_head,
    }


def _pretext_work(config: LabelEfficiencyConfig, method: str, fraction: float) -> float:
    """Passes per patch of the training split; the other organ's, shared by cells, do not count."""
    if method.removesuffix(ORGAN) == SUPERVISED:
        return 0.0
    seen = 1.0 if config.pretext_data == "all" else fraction
    return effort(method.removesuffix(ORGAN)) * seen * config.pretext_epochs


def _known(method: str) -> MethodName:
    found: Sequence[MethodName] = [name for name in get_args(MethodName) if name == method]
    return found[0]
