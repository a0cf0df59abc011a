"""Read weights from files: safetensors, or checkpoints of torch as data only, never as code."""

import argparse
import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.errors import WeightsError

SAFE = ".safetensors"
SUFFIXES = (SAFE, ".pth", ".pt", ".bin", ".ckpt", ".tar")
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "teacher",
    "model_ema",
    "model",
    "network",
    "net",
    "encoder",
    "backbone",
    "student",
)
"""Keys that training scripts keep their tensors under; a teacher is preferred to its student."""
METADATA = "microtome"
"""Key of a safetensors file's metadata that holds the EncoderCard."""


def find_file(place: str | Path) -> Path:
    """Find a weights file, or the one safetensors file of a run's folder.

    Raises:
        WeightsError: there is none, or several.
    """
    path = Path(place)
    if path.is_dir():
        usual = path / f"encoder{SAFE}"
        files = [usual] if usual.is_file() else sorted(path.glob(f"*{SAFE}"))
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or "none"
            raise WeightsError(f"the folder {path} must hold one {SAFE} file, it holds: {names}")
        return files[0]
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; check the path")
    return path


def file_sha256(path: Path) -> str:
    """Hash a file in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and values of a state dict, in the order of the names."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found.update(values.numpy().data)
    return found.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file, unwrapped from what training scripts put around them.

    Raises:
        WeightsError: the file is damaged, holds code, or no tensors.
    """
    loaded = _read_safe(path) if path.suffix == SAFE else _read_torch(path)
    tensors = _unwrap(loaded)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors under names; is it a checkpoint?")
    return tensors


def read_metadata(path: Path) -> dict[str, Any] | None:
    """Read the card that our own checkpoints hold; None for all other files.

    Raises:
        WeightsError: the file is damaged.
    """
    if path.suffix != SAFE:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA)
        found: dict[str, Any] | None = None if text is None else json.loads(text)
    except (SafetensorError, OSError, ValueError) as err:
        raise WeightsError(_damaged(path, str(err))) from err
    return found


def _read_safe(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as err:
        raise WeightsError(_damaged(path, str(err))) from err


def _read_torch(path: Path) -> Any:
    try:
        # the arguments of a training script, plain values, are in many published checkpoints
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as err:
        raise WeightsError(_refused(path, str(err))) from err
    except (AttributeError, EOFError, IndexError, KeyError, OSError, TypeError, ValueError) as err:
        raise WeightsError(_damaged(path, "torch cannot read it")) from err


def _refused(path: Path, reason: str) -> str:
    """Say why torch did not read a file; its own words speak to programmers."""
    named = re.search(r"GLOBAL (\S+)", reason)
    if not named and "TorchScript" not in reason:
        return _damaged(path, "torch cannot read it as data")
    holds = f"the Python object {named[1]}" if named else "a TorchScript program"
    return (
        f"{path} holds code ({holds}) beside or instead of plain tensors and was not loaded; "
        "if you trust its source, save its state dict alone as safetensors"
    )


def _damaged(path: Path, reason: str) -> str:
    first = reason.strip().partition("\n")[0]
    told = f": {first}" if first else ""
    return (
        f"{path} ({path.stat().st_size:,} bytes) is damaged, cut short or no checkpoint{told}; "
        "copy or download it again"
    )


def _unwrap(loaded: Any) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        return {}
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
    for key in WRAPPERS:
        inner = _unwrap(loaded.get(key))
        if len(inner) > len(tensors):  # beside them may stand a best score, as a tensor too
            return inner
    return tensors
