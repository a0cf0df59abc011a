"""A `.pt` file of one tensor, written in blocks; `torch.load(weights_only=True)` opens it.

The file is torch's own layout, a ZIP of stored records (`data.pkl`, `data/0`, `byteorder`,
`version`); torch.save itself needs the whole tensor in memory. No time is recorded, so equal
tensors make equal files.
"""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.bags.bag import Rows
from models.errors import BagError

ROOT = "archive"
ALIGNMENT = 64
"""Offset of the numbers in the file is a multiple of this, as torch does for mapping."""

LOCAL_HEADER = 30
ZIP64_EXTRA = 20
SIZES_FOLLOW = 0x08
"""Flag of a ZIP record whose sizes and checksum stand behind its bytes (APPNOTE 4.4.4, 4.3.9)."""
DESCRIPTOR = struct.Struct("<4sLQQ")
PADDING_ID = b"FB"
"""Name that torch gives to the field of a ZIP header that fills up to the alignment."""

STORAGES = {"float16": torch.HalfStorage, "float32": torch.FloatStorage}


class Stream(Protocol):
    """Takes bytes, from the first to the last."""

    def write(self, data: memoryview, /) -> int:
        """Append bytes."""

    def flush(self) -> object:
        """Hand on what was written."""


def write_tensor(
    file: Stream, blocks: Iterable[Rows], shape: tuple[int, int], dtype: np.dtype[Any]
) -> None:
    """Write the rows of `blocks` as one tensor of `shape` `(n, D)`.

    Raises:
        BagError: the blocks have other rows than `shape` says.
    """
    onward = _Onward(file)
    with zipfile.ZipFile(onward, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        _record(archive, "data.pkl", _pickled(shape, dtype))
        _record(archive, "byteorder", b"little")
        written = _numbers(archive, onward, blocks, dtype)
        _record(archive, "version", b"3\n")
    if written != shape[0]:
        raise BagError(f"the tensor was to have {shape[0]} rows, and {written} came")


class _Onward:
    """A file that cannot go back, and counts what is written; zipfile writes sizes behind bytes."""

    def __init__(self, file: Stream) -> None:
        self._file, self._size = file, 0

    def write(self, data: bytes | memoryview) -> int:
        self._file.write(memoryview(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()


def _numbers(
    archive: zipfile.ZipFile, file: _Onward, blocks: Iterable[Rows], dtype: np.dtype[Any]
) -> int:
    """Write the record of all numbers; gives how many rows came.

    By hand, since zipfile's own checksum takes as long as the writing.
    """
    from imagecodecs import deflate_crc32

    info, rows, size, checksum = _padded(f"{ROOT}/data/0", file.tell()), 0, 0, 0
    info.header_offset = file.tell()
    file.write(info.FileHeader(zip64=True))
    for block in blocks:
        data = np.ascontiguousarray(block, dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        file.write(data.data)
        checksum = deflate_crc32(data, checksum)  # type: ignore[arg-type]  # takes any buffer
        rows, size = rows + len(block), size + data.size
    file.write(DESCRIPTOR.pack(b"PK\x07\x08", checksum, size, size))
    info.CRC, info.file_size, info.compress_size = checksum, size, size
    archive.filelist.append(info)
    archive.NameToInfo[info.filename] = info
    archive.start_dir = file.tell()
    return rows


def open_tensor(path: Path) -> torch.Tensor:
    """Map the one tensor of a file; rows are read when they are asked for.

    Raises:
        BagError: the file is no plain tensor of two dimensions.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError, EOFError) as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise BagError(f"{path} is no tensor that can be opened safely: {reason}") from err
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or not found.is_floating_point():
        raise BagError(f"{path} holds {_described(found)}, and not one float tensor (n, D)")
    return found


def _described(found: object) -> str:
    if isinstance(found, torch.Tensor):
        return f"a {found.dtype} tensor {tuple(found.shape)}"
    return f"a {type(found).__name__}"


class _Storage:
    """Stands for the storage in the pickle; its numbers are in another record."""


class _Tensor:
    """Stands for the tensor; pickles as torch's own call that rebuilds one."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def __reduce__(self) -> tuple[Any, ...]:
        strides = (self.shape[1], 1)
        rebuild = torch._utils._rebuild_tensor_v2  # its name is part of the file format
        return rebuild, (_Storage(), 0, self.shape, strides, False, OrderedDict())


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, numbers: tuple[Any, ...]) -> None:
        super().__init__(file, protocol=2)
        self._numbers = numbers

    def persistent_id(self, obj: object) -> tuple[Any, ...] | None:
        return self._numbers if isinstance(obj, _Storage) else None


def _pickled(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    file = io.BytesIO()
    numbers = ("storage", STORAGES[dtype.name], "0", "cpu", shape[0] * shape[1])
    _Pickler(file, numbers).dump(_Tensor(shape))
    return file.getvalue()


def _record(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(f"{ROOT}/{name}"), data)


def _padded(name: str, offset: int) -> zipfile.ZipInfo:
    """Name a record at an offset, so that its bytes begin at a multiple of `ALIGNMENT`."""
    info = zipfile.ZipInfo(name)
    info.flag_bits |= SIZES_FOLLOW
    start = offset + LOCAL_HEADER + len(name) + ZIP64_EXTRA + 4
    padding = -start % ALIGNMENT
    info.extra = PADDING_ID + padding.to_bytes(2, "little") + b"Z" * padding
    return info


def take_tensor_rows(tensor: torch.Tensor) -> Callable[[NDArray[np.int64]], Rows]:
    """Give a function that reads rows `(k, D)` at ascending indices `(k,)`."""

    def take(indices: NDArray[np.int64]) -> Rows:
        values: Rows = tensor[torch.from_numpy(indices)].numpy()
        return values

    return take
