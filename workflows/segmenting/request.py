"""From the configs of tissue trainings to what training takes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workflows.errors import UsageError
from workflows.segmenting.config import (
    SegmentClassifyConfig,
    SegmentTrainConfig,
    TissueTrainConfig,
)
from workflows.training.folder import Kind
from workflows.training.paths import absolute, file_or_name, is_file, location

HABITS = (
    *("out", "precision", "device", "processes", "scheduler", "workers"),
    *("checkpoint_minutes", "log_steps", "overwrite"),
)
"""Options that a run may be taken up again with another value of."""

_MODULE = "models.segmentation.training"
_LEAVINGS = ("state-*.safetensors", "best.safetensors")
CLASSIFY = Kind("classifier", "classifier.safetensors", HABITS, f"{_MODULE}:classify", _LEAVINGS)
SEGMENT = Kind("segmenter", "segmenter.safetensors", HABITS, f"{_MODULE}:segment", _LEAVINGS)

TRAINING = {
    "accumulate": "accumulate",
    "epochs": "epochs",
    "batch": "batch",
    "optimizer": "optimizer",
    "lr": "base_lr",
    "weight_decay": "weight_decay",
    "momentum": "momentum",
}
"""Options of the optimisation, and the fields of `TrainSettings` that they fill."""

PASSED = (
    *("split", "val_split", "val_epochs", "keep", "seed", "precision", "device", "workers"),
    "log_steps",
)
"""Options that both trainings take as they are."""


def hash_files(names: Sequence[str | None], *others: str) -> str:
    """Hash what is in files, where names are files, and other texts; 16 hex digits."""
    found = hashlib.sha256("\n".join(others).encode())
    for name in names:
        if name is not None and is_file(name):
            with Path(name).expanduser().open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]


def classify_job(config: SegmentClassifyConfig, content: str = "") -> dict[str, Any]:
    """Give the document of a `models.segmentation.job.ClassifyJob`.

    Args:
        config: of the command.
        content: hash of the files that it names; states of another are not taken up.
    """
    weights = f"random:{config.seed}" if config.init == "random" else config.init
    return _job(config, CLASSIFY, content) | {
        "backbone": file_or_name(config.backbone),
        "weights": None if weights is None else file_or_name(weights),
        "output_stride": config.output_stride,
        "pda": None if config.pda == "none" else config.pda,
        "white": config.white,
    }


def segment_job(config: SegmentTrainConfig, content: str = "") -> dict[str, Any]:
    """Give the document of a `models.segmentation.job.SegmentJob`; see `classify_job`."""
    options = {}
    if config.decoder_channels is not None:
        if not config.architecture.lower().startswith("deeplabv3"):
            raise UsageError("--decoder-channels is for deeplabv3 and deeplabv3plus")
        options["decoder_channels"] = config.decoder_channels
    start = config.encoder_weights
    return _job(config, SEGMENT, content) | {
        "masks": list(config.masks),
        "weights_of_masks": config.mask_weights,
        "architecture": config.architecture,
        "encoder": config.encoder,
        "encoder_weights": None if start is None else file_or_name(start),
        "options": options,
        "background": config.background,
        "white": config.white,
        "divide_by_batch": config.divide_by_batch,
    }


def _job(config: TissueTrainConfig, kind: Kind, content: str) -> dict[str, Any]:
    """Give what both have; paths are absolute, for workers."""
    training = {name: getattr(config, option) for option, name in TRAINING.items()}
    return {
        "archives": [location(archive) for archive in config.archives],
        "folder": absolute(config.out),
        "identity": f"{kind.identity(config)}{content}",
        "name": config.name or "",
        "training": {name: value for name, value in training.items() if value is not None},
        **{name: getattr(config, name) for name in PASSED},
        "save_seconds": config.checkpoint_minutes * 60,
    }
