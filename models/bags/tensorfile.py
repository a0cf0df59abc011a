"""A `.pt` file of one tensor, written in blocks; `torch.load(weights_only=True)` opens it.

The file is torch's own layout, a ZIP of stored records (`data.pkl`, `data/0`, `byteorder`,
`version`); torch.save itself needs the whole tensor in memory. No time is recorded, so equal
tensors make equal files.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, cast

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
PADDING_ID = b"FB"
"""Name that torch gives to the field of a ZIP header that fills up to the alignment."""

STORAGES = {"float16": torch.HalfStorage, "float32": torch.FloatStorage}


def write_tensor(
    path: Path, blocks: Iterable[Rows], shape: tuple[int, int], dtype: np.dtype[Any]
) -> None:
    """Write the rows of `blocks` as one tensor of `shape` `(n, D)`.

    Raises:
        BagError: the blocks have other rows than `shape` says.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _record(archive, "data.pkl", _pickled(shape, dtype))
        _record(archive, "byteorder", b"little")
        written = _numbers(archive, _padded(archive, "data/0"), blocks, dtype)
        _record(archive, "version", b"3\n")
    if written != shape[0]:
        raise BagError(f"{path.name} was to have {shape[0]} rows, and {written} came")


def _numbers(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, blocks: Iterable[Rows], dtype: np.dtype[Any]
) -> int:
    """Write the record of all numbers; gives how many rows came.

    By hand, since zipfile's own checksum takes as long as the writing.
    """
    from imagecodecs import deflate_crc32

    file, rows, size, checksum = cast(IO[bytes], archive.fp), 0, 0, 0
    info.header_offset, info.CRC, info.compress_size = file.tell(), 0, 0
    file.write(info.FileHeader(zip64=True))
    for block in blocks:
        data = np.ascontiguousarray(block, dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        file.write(data.data)
        checksum = deflate_crc32(data, checksum)  # type: ignore[arg-type]  # takes any buffer
        rows, size = rows + len(block), size + data.size
    info.CRC, info.file_size, info.compress_size = checksum, size, size
    end = file.tell()
    file.seek(info.header_offset)
    file.write(info.FileHeader(zip64=True))  # now with sizes and checksum
    file.seek(end)
    archive.filelist.append(info)
    archive.NameToInfo[info.filename] = info
    archive.start_dir = end
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


def _padded(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Name a record whose data begin at a multiple of `ALIGNMENT`."""
    info = zipfile.ZipInfo(f"{ROOT}/{name}")
    file = archive.fp
    offset = 0 if file is None else file.tell()
    start = offset + LOCAL_HEADER + len(info.filename) + ZIP64_EXTRA + 4
    padding = -start % ALIGNMENT
    info.extra = PADDING_ID + padding.to_bytes(2, "little") + b"Z" * padding
    return info


def take_tensor_rows(tensor: torch.Tensor) -> Callable[[NDArray[np.int64]], Rows]:
    """Give a function that reads rows `(k, D)` at ascending indices `(k,)`."""

    def take(indices: NDArray[np.int64]) -> Rows:
        values: Rows = tensor[torch.from_numpy(indices)].numpy()
        return values

    return take
