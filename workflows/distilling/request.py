"""From the config of a distillation to what the training of a stage takes."""

from pathlib import Path
from typing import Any

from workflows.distilling.config import DistillConfig, StageConfig
from workflows.training.folder import Kind
from workflows.training.paths import absolute, file_or_name, is_file, location

HABITS = (
    *("out", "precision", "device", "processes", "scheduler", "workers", "checkpoint_minutes"),
    *("log_steps", "on_collapse", "overwrite", "resamples", "rounds", "start", "initial"),
)
"""Options that a stage may be taken up again with another value of; of the model that it begins
with the content counts."""

INITIAL_ONLY = ("encoder", "init", "normalise", "initial_epochs", "teach_folds", "input_px")
"""Options that only the initial model heeds."""

MODEL = "model.safetensors"
KIND = Kind("stage", MODEL, HABITS, "models.distilling.training:run")

TRAINING = {
    "batch": "batch",
    "weight_decay": "weight_decay",
    "warmup_epochs": "warmup_epochs",
    "accumulate": "accumulate",
}
"""Options of the optimisation, and the fields of `TrainSettings` that they fill."""

SETTINGS = (
    *("weight", "ssl_epochs", "correct_steps", "self_supervision", "self_training", "correction"),
    *("momentum", "prototypes", "hidden", "drop_path"),
)
"""Options of the method, fields of `DistlSettings` of the same name."""

PASSED = (
    *("input_px", "local_px", "normalise", "labelled", "folds", "teach_folds", "fraction_unit"),
    *("split", "test_split", "test_share", "target", "infer_blur_px", "seed", "precision"),
    *("device", "workers", "log_steps"),
)
"""Options that training takes as they are."""


def stage_name(number: int) -> str:
    """Name the folder of a stage."""
    return f"round-{number}" if number else "initial"


def stage_config(config: DistillConfig, number: int, start: str | None) -> StageConfig:
    """Say what a stage is asked for.

    Args:
        config: of the command.
        number: T; 0 is the initial model.
        start: model of the stage before.
    """
    out = str(Path(config.out).expanduser().absolute() / stage_name(number))
    return StageConfig(**config.model_dump() | {"out": out, "round": number, "start": start})


def job_of(config: StageConfig, content: str) -> dict[str, Any]:
    """Give the document of a `models.distilling.job.DistillJob`; paths are absolute, for workers.

    Args:
        config: of the stage.
        content: hash of the model that it begins with; states of another are not taken up.
    """
    from models.distilling.settings import RATE_BATCH
    from models.training.schedule import REFERENCE_BATCH

    training = {name: getattr(config, option) for option, name in TRAINING.items()}
    training["base_lr"] = config.lr * REFERENCE_BATCH / RATE_BATCH
    training["epochs"] = config.epochs
    if config.round == 0 and config.initial_epochs is not None:
        training["epochs"] = config.initial_epochs
    settings = {name: getattr(config, name) for name in SETTINGS}
    encoder, weights = _start(config)
    return {
        "archives": [location(archive) for archive in config.archives],
        "folder": absolute(config.out),
        "identity": f"{KIND.identity(config)}{content}",
        "round": config.round,
        "start": config.start,
        "encoder": encoder,
        "weights": weights,
        "name": config.name or "",
        "training": {name: value for name, value in training.items() if value is not None},
        "settings": {name: value for name, value in settings.items() if value is not None},
        **{name: getattr(config, name) for name in PASSED},
        "fraction_seed": config.seed if config.fraction_seed is None else config.fraction_seed,
        "save_seconds": config.checkpoint_minutes * 60,
        "stop_on_collapse": config.on_collapse == "stop",
    }


def _start(config: StageConfig) -> tuple[str, str | None]:
    """Say which encoder is opened, and with which weights."""
    encoder = file_or_name(config.encoder)
    if config.init == "random":
        return encoder, f"random:{config.seed}"
    if config.init == "published" or is_file(config.encoder):  # of a checkpoint its own
        return encoder, None
    return encoder, file_or_name(config.init)
