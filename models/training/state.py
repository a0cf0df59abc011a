"""The checkpoint of a run: all that it needs to go on as if it had never stopped, in one file."""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from models.encoders.weights import tensors_sha256
from models.errors import NumericsError, WeightsError
from models.files import UNFINISHED, replacing
from models.training.memory import optimizer_values, restore_values

KEY = "microtome_state"
"""Of the file's metadata: a hash of all the rest, a space, and JSON."""
FORMAT = 1
STATE = re.compile(r"state-(\d+)\.safetensors")

log = logging.getLogger(__name__)


def save_state(
    path: Path, module: nn.Module, optimizer: Optimizer, about: Mapping[str, Any]
) -> None:
    """Write a network and its optimiser, wholly or not at all.

    What lies on the CPU is not copied in memory; what lies on another device once. Options of the
    optimiser, its rate among them, follow from the settings and are not written.

    Args:
        path: of the file.
        module: whose parameters and buffers are kept, names that share a tensor too.
        optimizer: of its parameters, not wrapped.
        about: JSON values, such as step and identity.

    Raises:
        NumericsError: a parameter is NaN or infinite; nothing is written.
        WeightsError: it cannot be written.
    """
    _require_finite(module, path)
    named = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    plain: dict[str, Any] = {}
    for name, value in optimizer_values(module, optimizer).items():
        if isinstance(value, Tensor):
            named[f"optimizer.{name}"] = value
        else:
            plain[name] = value
    tensors, aliases = _unshare(named)
    document = {
        "format": FORMAT,
        "about": about,
        "optimizer": type(optimizer).__name__,
        "plain": plain,
        "aliases": aliases,
    }
    text = json.dumps(document, allow_nan=False)
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, {KEY: f"{_digest(tensors, text)} {text}"})
    except (OSError, SafetensorError) as err:
        raise WeightsError(f"cannot write {path}: {err}") from err


def load_state(path: Path, module: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Read a state into a network and its optimiser; gives what was said of it.

    Args:
        path: of the file.
        module: of the same architecture, on any device.
        optimizer: of its parameters, with the same settings, not wrapped.

    Raises:
        WeightsError: the file is missing, damaged, or of another network or optimiser.
    """
    document, tensors = _read(path)
    if document["optimizer"] != type(optimizer).__name__:
        raise WeightsError(
            f"{path} is of the optimiser {document['optimizer']}, not {type(optimizer).__name__}; "
            "go on with the settings that the run began with"
        )
    tensors |= {name: tensors[first] for name, first in document["aliases"].items()}
    values = _part(tensors, "optimizer.") | document["plain"]
    try:
        module.load_state_dict(_part(tensors, "module."))
        restore_values(module, optimizer, values)
    except (RuntimeError, KeyError) as err:
        raise WeightsError(
            f"{path} is of another network: {err}; go on with the settings that the run began with"
        ) from err
    about: dict[str, Any] = document["about"]
    return about


def latest_state(folder: Path, identity: str) -> Path | None:
    """Find the newest good `state-<step>.safetensors` of a run; None where there is none.

    Damaged ones and those of other runs are passed over, with a warning.

    Args:
        folder: of the run; need not exist.
        identity: what `about` of the state must have under that name.
    """
    for path in reversed(_states(folder)):
        try:
            found = _read(path)[0]["about"].get("identity")
        except WeightsError as err:
            log.warning("%s; the state before it is used", err)
            continue
        if found == identity:
            return path
        log.warning("%s is of a run with other settings or data; it is passed over", path)
    return None


def prune_states(folder: Path, keep: int = 2) -> None:
    """Remove all states but those that were written last, and what killed writers left.

    The order is that of writing, not of steps: a damaged state of a later step goes, too, once
    the resumed run has written `keep` others.
    """
    written = sorted(_states(folder), key=lambda path: path.stat().st_mtime_ns)
    for path in written[: max(0, len(written) - keep)]:
        path.unlink(missing_ok=True)
    for left in folder.glob(f".state-*{UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)


def _states(folder: Path) -> list[Path]:
    """Give the states of a folder by step."""
    found = [(int(m[1]), p) for p in folder.glob("state-*") if (m := STATE.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def _require_finite(module: nn.Module, path: Path) -> None:
    names = [name for name, _ in module.named_parameters()]
    if not names:
        return
    finite = torch.stack([p.detach().isfinite().all() for p in module.parameters()]).tolist()
    wrong = [name for name, good in zip(names, finite, strict=True) if not good]
    if wrong:
        raise NumericsError(
            f"{len(wrong):,} of {len(names):,} parameters are NaN or infinite, {wrong[0]} first, "
            f"so {path.name} is not written; the last good state is kept. Train anew with a lower "
            "--lr, a longer --warmup-epochs or --precision float32"
        )


def _unshare(named: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Bring tensors to the CPU, each of its own memory; gives also names of the same tensor."""
    firsts: dict[Any, str] = {}
    storages: set[int] = set()
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in named.items():
        key = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and firsts.setdefault(key, name) != name:
            aliases[name] = firsts[key]
            continue
        own = tensor.detach().cpu().contiguous()
        storage = own.untyped_storage().data_ptr()
        tensors[name] = own.clone() if storage in storages else own  # a view of a part of it
        storages.add(storage)
    return tensors, aliases


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    return hashlib.sha256(f"{tensors_sha256(tensors)} {text}".encode()).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a file that proves to be as it was written; its tensors stay mapped, not in memory."""
    try:
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except FileNotFoundError as err:
        raise WeightsError(f"there is no state {path}; check the path") from err
    except (OSError, SafetensorError) as err:
        raise WeightsError(f"{path} is damaged or cut short: {err}") from err
    if said is None:
        raise WeightsError(f"{path} is no state of a training run; is it an encoder?")
    digest, _, text = said.partition(" ")
    if _digest(tensors, text) != digest:
        raise WeightsError(f"{path} is damaged: it does not hold what was written")
    document: dict[str, Any] = json.loads(text)
    if document["format"] != FORMAT:
        raise WeightsError(
            f"{path} is a state of format {document['format']}, this version reads {FORMAT}"
        )
    return document, tensors


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
