"""Cells of the distillation experiment, and which run of `microtome distill` holds each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workflows.distilling.config import DistillConfig
from workflows.experiments.cells import PRETEXT
from workflows.experiments.distill_config import DistillationConfig

Kind = Literal["initial", "round", "supervised", "ablation"]
KINDS: tuple[Kind, ...] = ("initial", "round", "supervised", "ablation")

EFFORT: dict[Kind, float] = {"initial": 1.0, "round": 6.0, "supervised": 1.0, "ablation": 6.0}
"""Passes of the network per patch: eight local views have a quarter of the pixels each."""

SAID = (
    *("encoder", "init", "input_px", "local_px", "normalise", "labelled", "fraction_unit", "folds"),
    *("epochs", "ssl_epochs", "initial_epochs", "batch", "lr", "correct_steps", "momentum"),
    *("prototypes", "hidden", "drop_path", "precision", "device", "processes", "scheduler"),
)
"""Options that `microtome distill` takes as they are."""


@dataclass(frozen=True)
class DistillRow:
    """One row of the table.

    Attributes:
        number: from 1.
        kind: what it is.
        words: for the table.
        slug: names its cells.
        run: name of the run that holds it, without the seed.
        rounds: T of the student that is scored.
        options: of that run, beyond the experiment's.
    """

    number: int
    kind: Kind
    words: str
    slug: str
    run: str
    rounds: int
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class DistillCell:
    """One row, once."""

    row: DistillRow
    seed: int
    work: float

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.row.slug}-seed{self.seed}"

    def document(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"row": self.row.slug, "seed": self.seed}


def rows_of(config: DistillationConfig) -> list[DistillRow]:
    """Give the rows: initial, T = 1 and so on, full supervision, ablations."""
    last, found = config.folds, list[tuple[Kind, str, str, str, int, dict[str, Any]]]()
    found.append(("initial", "initial model", "initial", "distl", 0, {}))
    found += [("round", f"DISTL, T = {t}", f"round{t}", "distl", t, {}) for t in range(1, last + 1)]
    for folds in config.taught:
        epochs = config.supervised_epochs or config.initial_epochs
        own = {"teach_folds": folds, "initial_epochs": epochs}
        words = f"supervised, all labels of T = {folds}"
        found.append(("supervised", words, f"supervised{folds}", f"supervised{folds}", 0, own))
    for part in config.ablations:
        slug = f"no-{part}"
        own = {part.replace("-", "_"): False}
        found.append(("ablation", f"T = {last} without {part}", slug, slug, last, own))
    return [DistillRow(number, *one) for number, one in enumerate(found, 1)]


def cells_of(config: DistillationConfig, patches: int) -> list[DistillCell]:
    """Give all cells, seed after seed; each needs those before it.

    Args:
        config: of the experiment.
        patches: of the training split.
    """
    return [
        DistillCell(row, seed, _work(config, row) * patches)
        for seed in config.seeds
        for row in rows_of(config)
    ]


def run_config(config: DistillationConfig, cell: DistillCell) -> DistillConfig:
    """Say what `microtome distill` is asked for; ablations begin with the seed's initial model."""
    out = folder_of(config, cell.row.run, cell.seed)
    given = {name: getattr(config, name) for name in SAID} | dict(cell.row.options)
    if cell.row.kind == "ablation":
        whole = folder_of(config, "distl", cell.seed)
        given["initial"] = str(whole / "initial" / "model.safetensors")
    return DistillConfig(
        archives=(config.archive,),
        out=str(out),
        rounds=cell.row.rounds,
        split=config.train_split,
        test_split=config.test_split,
        seed=cell.seed,
        resamples=1,  # the experiment has intervals of its own
        on_collapse="warn",
        **given,
    )


def folder_of(config: DistillationConfig, run: str, seed: int) -> Path:
    """Give the folder of a run."""
    return Path(config.out).expanduser() / PRETEXT / f"{run}-seed{seed}"


def _work(config: DistillationConfig, row: DistillRow) -> float:
    """Passes per patch of the training split."""
    first = config.initial_epochs or config.epochs
    fold = (1 - config.labelled) / config.folds
    if row.kind == "initial":
        return first * config.labelled
    if row.kind == "supervised":
        epochs = config.supervised_epochs or first
        folds: int = row.options["teach_folds"]
        return epochs * (config.labelled + fold * folds)
    rounds = [row.rounds] if row.kind == "round" else list(range(1, row.rounds + 1))
    return EFFORT[row.kind] * config.epochs * fold * sum(rounds)
