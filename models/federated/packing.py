"""Tensors and JSON values as bytes, and back: safetensors, nothing that could run."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.federated.errors import ProtocolError
from models.files import write_whole

KEY = "microtome_federated"
LENGTH = struct.Struct("<Q")

Document = dict[str, Any]


def pack(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> bytes:
    """Give tensors, by name, and JSON values as one safetensors file in memory.

    Equal values give equal bytes.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return save(ready, {KEY: text})


def unpack(data: bytes) -> tuple[Document, dict[str, Tensor]]:
    """Read what `pack` gave.

    Raises:
        ProtocolError: it is something else, or damaged.
    """
    try:
        tensors = load(data)
        (length,) = LENGTH.unpack_from(data)
        header = json.loads(data[LENGTH.size : LENGTH.size + length])
        document = json.loads(header["__metadata__"][KEY])
    except (SafetensorError, struct.error, ValueError, KeyError, TypeError, RecursionError) as err:
        raise ProtocolError(f"these bytes are no message of ours: {err}") from err
    if not isinstance(document, dict):
        raise ProtocolError("these bytes are no message of ours: they describe nothing")
    return document, tensors


def header_bytes(data: bytes) -> int:
    """Give the bytes before the tensors of what `pack` gave."""
    (length,) = LENGTH.unpack_from(data)
    return LENGTH.size + int(length)


def payload_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Count the bytes of tensors, without names and header."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def write_sealed(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write a file that knows whether it is whole; there wholly or not at all."""
    sealed = {"seal": _seal(tensors, document), "document": document}
    write_whole(path, pack(tensors, sealed))


def read_sealed(path: Path) -> tuple[Document, dict[str, Tensor]]:
    """Read what `write_sealed` wrote.

    Raises:
        ProtocolError: it is missing, or not what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as err:
        raise ProtocolError(f"cannot read {path}: {err.strerror}") from err
    found, tensors = unpack(data)
    document = found.get("document")
    if not isinstance(document, dict) or found.get("seal") != _seal(tensors, document):
        raise ProtocolError(f"{path} is damaged: it does not hold what was written")
    return document, tensors


def _seal(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> str:
    return hashlib.sha256(pack(tensors, document)).hexdigest()
