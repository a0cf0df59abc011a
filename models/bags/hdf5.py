"""HDF5 files written in blocks, without times, so that equal rows make equal files."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag, Rows
from models.errors import BagError

CHUNK_ROWS = 32
"""Rows of a chunk; peers have 1, which reads and writes three times slower."""


@dataclass(frozen=True)
class Table:
    """A dataset to write: rows in blocks.

    Attributes:
        blocks: the rows in order.
        shape: `(n, ...)` of all rows.
        attributes: of the dataset.
        grows: the first length has no limit, which readers of some formats are used to.
    """

    blocks: Iterable[NDArray[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    grows: bool = True


def rows_of(bag: Bag, dtype: np.dtype[Any], attributes: Mapping[str, Any] | None = None) -> Table:
    """Describe the embeddings of a bag, `(n, D)`."""
    shape = (len(bag), bag.dim)
    return Table(bag.blocks(dtype=dtype), shape, dtype, attributes or {})


def array_of(
    values: NDArray[Any], attributes: Mapping[str, Any] | None = None, *, grows: bool = True
) -> Table:
    """Describe an array that is in memory."""
    return Table([values], values.shape, values.dtype, attributes or {}, grows)


def write_hdf5(
    path: Path, tables: Mapping[str, Table], attributes: Mapping[str, Any] | None = None
) -> None:
    """Write a file of datasets.

    The library lays the file out, and the rows are written to the places it names: where the disk
    is full, HDF5 itself leaves objects that crash the process when they are let go.

    Raises:
        BagError: the blocks of a table have other rows than its shape says.
        OSError: the file cannot be written.
    """
    places = {}
    with h5py.File(path, "w") as file:
        for name, table in tables.items():
            made = _laid_out(file, name, table)
            made.attrs.update(table.attributes)
            places[name] = _places(made)
        file.attrs.update(attributes or {})
    with path.open("r+b") as raw:
        for name, table in tables.items():
            _fill(raw, name, table, places[name])


def _laid_out(file: h5py.File, name: str, table: Table) -> h5py.Dataset:
    """Make a dataset whose place in the file is fixed, and nothing is written there."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    limits = table.shape
    if table.grows:
        layout.set_chunk((CHUNK_ROWS, *table.shape[1:]))
        limits = (h5py.h5s.UNLIMITED, *table.shape[1:])
    space = h5py.h5s.create_simple(table.shape, limits)
    kind = h5py.h5t.py_create(table.dtype.newbyteorder("<"))
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, layout))


def _places(dataset: h5py.Dataset) -> list[int]:
    """Give the offset in the file of each chunk, or of the whole where there are none."""
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        return [] if offset is None else [offset]
    found: dict[int, int] = {}
    dataset.id.chunk_iter(lambda chunk: found.__setitem__(chunk.chunk_offset[0], chunk.byte_offset))
    return [found[row] for row in range(0, len(dataset), CHUNK_ROWS)]


def _fill(raw: BinaryIO, name: str, table: Table, places: list[int]) -> None:
    """Write rows to their places; neighbouring chunks at once."""
    written, kind = 0, table.dtype.newbyteorder("<")
    for block in table.blocks:
        values = np.ascontiguousarray(block, kind)
        for first, last, offset in _runs(table, places, written, written + len(values)):
            raw.seek(offset)
            raw.write(values[first - written : last - written].data)
        written += len(values)
    if written != table.shape[0]:
        raise BagError(f"{name} was to have {table.shape[0]} rows, and {written} came")


def _runs(table: Table, places: list[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Split rows `start` to `stop` where the file has them apart; gives (first, last, offset)."""
    width = math.prod(table.shape[1:]) * table.dtype.itemsize
    step = CHUNK_ROWS if table.grows else max(1, table.shape[0])
    first = start
    while first < min(stop, table.shape[0]):
        number = first // step
        offset = places[number] + (first - number * step) * width
        last = (number + 1) * step
        while last < stop and places[last // step] == places[last // step - 1] + step * width:
            last += step
        last = min(last, stop)
        yield first, last, offset
        first = last


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading.

    Raises:
        BagError: it is no HDF5 file, or lacks what is read from it.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError) as err:
        raise BagError(f"{path} cannot be read: {str(err).strip(chr(39))}") from err


def take_rows(path: Path, name: str, indices: NDArray[np.int64]) -> Rows:
    """Read rows of a dataset at ascending indices."""
    with opened(path) as file:
        dataset = file[name]
        if not len(indices):
            return np.zeros((0, *dataset.shape[1:]), dataset.dtype)
        first, last = int(indices[0]), int(indices[-1]) + 1
        if last - first <= 2 * len(indices):  # h5py reads a range far faster than single rows
            values: Rows = dataset[first:last]
            return values[indices - first]
        rows: Rows = dataset[indices]
        return rows
