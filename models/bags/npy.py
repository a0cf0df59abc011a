"""`.npy` files written in blocks, so that the whole array is never in memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Rows
from models.errors import BagError


class Writable(Protocol):
    """A file that is open for writing."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Append bytes."""


def write_npy(
    file: Writable, blocks: Iterable[Rows], shape: tuple[int, int], dtype: np.dtype[Any]
) -> None:
    """Write the rows of `blocks` as one array of `shape` `(n, D)`, the bytes `np.save` writes.

    Raises:
        BagError: the blocks have other rows than `shape` says.
    """
    little = dtype.newbyteorder("<")
    described = {"descr": little.str, "fortran_order": False, "shape": shape}
    written = 0
    np.lib.format.write_array_header_1_0(file, described)
    for block in blocks:
        file.write(np.ascontiguousarray(block, little).data)
        written += len(block)
    if written != shape[0]:
        raise BagError(f"an array was to have {shape[0]} rows, and {written} came")


def open_npy(path: Path) -> NDArray[Any]:
    """Map an array; rows are read when they are asked for.

    Raises:
        BagError: the file is no array, or one of pickled objects.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise BagError(f"{path} is no array that can be opened safely: {err}") from err
    return found
