"""From the config of a pretraining to what training takes."""

from typing import TYPE_CHECKING, Any

from workflows.pretraining.config import PretrainConfig
from workflows.training.folder import Kind
from workflows.training.paths import absolute, file_or_name, is_file, location

if TYPE_CHECKING:
    from models.ssl.table import Recipe

TRAINING = {
    "epochs": "epochs",
    "batch": "batch",
    "optimizer": "optimizer",
    "lr": "base_lr",
    "weight_decay": "weight_decay",
    "warmup_epochs": "warmup_epochs",
    "scale_lr": "scale_lr",
    "constant_lr": "constant_lr",
    "accumulate": "accumulate",
}
"""Options of the optimisation, and the fields of `TrainSettings` that they fill."""

SETTINGS = (
    "temperature",
    "simclr_head",
    "momentum",
    "queue",
    "positives",
    "plain_epochs",
    "pool",
    "rule",
    "ds_mode",
    "ds_threshold",
    "ds_action",
)
"""Options of the method, fields of `MethodSettings` of the same name."""

_TWIN = {"temperature", "momentum", "queue"}
_NEAR = {*_TWIN, "positives", "plain_epochs"}
USED = {
    "simclr": {"temperature", "simclr_head"},
    "mocov3": _TWIN,
    "ops": _TWIN,
    "srcl": {*_NEAR, "pool"},
    "nsam": {*_NEAR, "rule"},
    "ds": {*_NEAR, "pool", "ds_mode", "ds_threshold", "ds_action"},
}
"""Which of these each method heeds; methods that are not named heed none."""


def without_effect(config: PretrainConfig) -> list[str]:
    """Name the options that were given and that the method does not heed."""
    given = [name for name in SETTINGS if getattr(config, name) is not None]
    idle = [name for name in given if name not in USED.get(config.method, set())]
    return [f"--{name.replace('_', '-')} has no effect on {config.method}" for name in idle]


HABITS = (
    "out",
    "precision",
    "device",
    "processes",
    "scheduler",
    "workers",
    "compile",
    "checkpoint_minutes",
    "log_steps",
    "knn_epochs",
    "on_collapse",
    "overwrite",
)
"""Options that a run may be taken up again with another value of."""

KIND = Kind("pretraining", "encoder.safetensors", HABITS, "models.ssl.pretraining:run")

PASSED = (
    *("input_px", "crop_min", "d4", "stain", "sampler", "per_slide", "split", "fraction"),
    *("fraction_unit", "stratify", "seed", "precision", "device", "workers", "compile"),
)
"""Options that training takes as they are."""


def job_of(config: PretrainConfig) -> dict[str, Any]:
    """Give the document of a `models.ssl.job.PretrainJob`; paths are absolute, for workers."""
    from models.ssl.table import METHODS

    recipe = METHODS[config.method]
    encoder, weights = _start(config, recipe)
    training = {name: getattr(config, option) for option, name in TRAINING.items()}
    settings = {name: getattr(config, name) for name in SETTINGS}
    return {
        "archives": [location(archive) for archive in config.archives],
        "folder": absolute(config.out),
        "identity": KIND.identity(config),
        "method": config.method,
        "encoder": encoder,
        "weights": weights,
        "name": config.name or "",
        "training": {name: value for name, value in training.items() if value is not None},
        "settings": {name: value for name, value in settings.items() if value is not None},
        **{name: getattr(config, name) for name in PASSED},
        "fraction_seed": config.seed if config.fraction_seed is None else config.fraction_seed,
        "save_seconds": config.checkpoint_minutes * 60,
        "log_steps": config.log_steps,
        "knn_epochs": config.knn_epochs,
        "stop_on_collapse": config.on_collapse == "stop",
    }


def _start(config: PretrainConfig, recipe: "Recipe") -> tuple[str, str | None]:
    """Say which encoder is opened, and with which weights."""
    init = config.init or ("published" if is_file(config.encoder) else recipe.init)
    if init == "random":
        return file_or_name(config.encoder or recipe.encoder), f"random:{config.seed}"
    if init == "published":  # for a checkpoint its own
        return file_or_name(config.encoder or recipe.encoder), None
    if config.encoder is None:  # the checkpoint says itself which network it is of
        return file_or_name(init), None
    return file_or_name(config.encoder), file_or_name(init)
