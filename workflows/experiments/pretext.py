"""Pretraining within an experiment: one run folder per stage, which cells share."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.encoders import Encoder, open_encoder
from workflows.experiments.cells import PRETEXT
from workflows.experiments.config import ExperimentBase, ExperimentConfig
from workflows.experiments.loop import Tell
from workflows.outcome import INTERRUPTED
from workflows.pretraining.config import MethodName, PretrainConfig
from workflows.progress import Update

SAID = {
    "pretext_optimizer": "optimizer",
    "pretext_lr": "lr",
    "pretext_weight_decay": "weight_decay",
    "pretext_batch": "batch",
    "temperature": "temperature",
}
"""Options of experiments, and the fields of `PretrainConfig` that they fill."""

EFFORT = {"supervised": 1.0, "rotnet": 4.0, "rotnet-jitter": 4.0, "simclr": 2.0}
"""Passes of the network per patch; those that also ask a twin take about a third more."""
TWIN_EFFORT = 2.7


@dataclass(frozen=True)
class Stage:
    """One pretraining.

    Attributes:
        name: of its folder; stages of one name are the same run.
        method: of `microtome pretrain`.
        archive: path or URL.
        split: only slides of this split; None for all.
        fraction: share of the patches.
        by_class: take the share of every class alike, as `label_fraction` does, so that it is the
            same patches; those without a label sit out.
        seed: of everything.
        epochs: passes.
        init: weights to begin with: random, published, or a file.
        options: further fields of `PretrainConfig`, for what the experiment leaves open.
    """

    name: str
    method: MethodName
    archive: str
    split: str | None
    fraction: float
    by_class: bool
    seed: int
    epochs: int
    init: str
    options: dict[str, Any] = field(default_factory=dict)

    def config(self, asked: ExperimentConfig, encoder: str) -> PretrainConfig:
        """Say what `microtome pretrain` is asked for."""
        said = {option: getattr(asked, name) for name, option in SAID.items()}
        given = self.options | {name: value for name, value in said.items() if value is not None}
        return PretrainConfig(
            archives=(self.archive,),
            out=str(Path(asked.out).expanduser() / PRETEXT / self.name),
            method=self.method,
            encoder=encoder,
            init=self.init,
            input_px=asked.input_px,
            epochs=self.epochs,
            split=self.split,
            fraction=self.fraction,
            fraction_unit=asked.fraction_unit,
            stratify=self.by_class,
            fraction_seed=self.seed,
            seed=self.seed,
            precision=asked.precision,
            device=asked.device,
            processes=asked.processes,
            on_collapse=asked.on_collapse,
            knn_epochs=0,  # labels have no say in pretraining
            **given,
        )


@dataclass(frozen=True)
class Trained:
    """A pretraining that came to its end.

    Attributes:
        checkpoint: file of the encoder.
        document: what a cell records of it.
    """

    checkpoint: str
    document: dict[str, Any]


def run_stage(stage: Stage, asked: ExperimentConfig, encoder: str, tell: Tell) -> Trained:
    """Pretrain, go on with it, or take what is there.

    Raises:
        KeyboardInterrupt: it was stopped; the next run goes on from there.
        ModelError: what pretraining raises: data, encoder, weights, or a loss that is NaN.
    """
    from workflows import pretrain

    def told(update: Update) -> None:
        tell(min(1.0, update.patches_done / max(update.patches_total, 1)))

    config = stage.config(asked, encoder)
    outcome = pretrain.run(config, told)
    if outcome.exit_code == INTERRUPTED:
        raise KeyboardInterrupt
    found = outcome.document
    return Trained(
        found["files"]["encoder"],
        {
            "folder": f"{PRETEXT}/{stage.name}",
            "method": stage.method,
            "init": stage.init,
            "data": found["data"],
            "training": found["training"],
            "steps": found["steps"],
            "device": found["device"],
            "processes": found["processes"],
            "seconds": training_seconds(Path(config.out), found["training"]["batch"]),
            "seen": list(found["card"]["data"]),
            "notes": list(found["notes"]),
        },
    )


def open_start(asked: ExperimentBase, encoder: str, seed: int, layer: str = "last") -> Encoder:
    """Open what every training of a seed begins with, pretraining included.

    Raises:
        EncoderError: there is no such encoder or layer, or it cannot take images of that side.
        WeightsError: its weights are missing or wrong.
    """
    weights = {"random": f"random:{seed}", "published": None}.get(asked.init, asked.init)
    return open_encoder(encoder, weights, layer, input_px=asked.input_px)


def training_seconds(folder: Path, batch: int) -> float:
    """Sum the seconds of all steps from a run's lines, also of one that was resumed in between.

    Args:
        folder: of the run.
        batch: patches of a step.
    """
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seconds, before = 0.0, 0
    for line in lines:
        if line["kind"] == "step" and line["patches_per_s"]:
            seconds += (line["step"] - before) * batch / line["patches_per_s"]
            before = line["step"]
    return round(seconds, 2)


def effort(method: str) -> float:
    """Passes of the network per patch that a method takes."""
    return EFFORT.get(method, TWIN_EFFORT)
