"""A trained model as one safetensors file, which says itself what it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.errors import WeightsError
from models.files import write_whole
from models.mil.model import MilModel
from models.mil.recipes import build_model, model_settings

KEY = "microtome"
"""The one key of the file's metadata: with several their order would not be fixed."""


def save_checkpoint(path: Path, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights and what they are, under another name first.

    Args:
        path: of the file.
        state: weights by name.
        about: JSON values; `model` (settings), `dim` and `classes` are needed to read it again.
    """
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    data = save(tensors, metadata={KEY: json.dumps(about, sort_keys=True)})
    write_whole(path, data)


def load_checkpoint(path: Path) -> tuple[MilModel, dict[str, Any]]:
    """Read a model, ready to predict on the CPU, and what was said of it.

    Raises:
        WeightsError: the file is missing, damaged, or not of such a model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        about: dict[str, Any] = json.loads(metadata[KEY])
        model = build_model(
            model_settings(about["model"]), int(about["dim"]), len(about["classes"]), 0
        )
        model.load_state_dict(state)
    except FileNotFoundError as err:
        raise WeightsError(f"no weights at {path}; was the training finished?") from err
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as err:
        raise WeightsError(f"{path} holds no model of bags, or is damaged: {err}") from err
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise WeightsError(f"{path} holds NaN or infinity")
    return model.eval(), about
