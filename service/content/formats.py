"""Embeddings as the files that other programs read, FORMATS 1."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.bags.arrow import batches, schema
from models.bags.bag import Bag
from models.bags.npy import write_npy

ROW_GROUP = 8192
"""Rows of a row group in Parquet."""
NAMES = ["slide_id", "patient", "site"]
"""Columns of Parquet that hold one value; only these are stored as dictionaries."""


def write_pt(bag: Bag, dtype: np.dtype[Any], path: Path) -> None:
    """Write one plain tensor `(n, D)`, which `torch.load(…, weights_only=True)` opens."""
    from models.bags.tensorfile import write_tensor

    with path.open("wb") as file:
        write_tensor(file, bag.blocks(dtype=dtype), (len(bag), bag.dim), dtype)


def write_npz(bag: Bag, dtype: np.dtype[Any], path: Path) -> None:
    """Write arrays as `np.savez` does, in blocks, without pickle and without times."""
    columns = {
        "coords": bag.coords,
        "row": bag.row_col[:, 0],
        "col": bag.row_col[:, 1],
        "tissue_fraction": bag.tissue_fraction,
        "status": bag.status,
        "patch_size_level0": np.array(bag.level0_patch),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with _entry(archive, "features") as file:
            write_npy(file, bag.blocks(dtype=dtype), (len(bag), bag.dim), dtype)
        for name, values in columns.items():
            with _entry(archive, name) as file:
                _write_array(file, np.ascontiguousarray(values))


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _write_array(file: IO[bytes], values: NDArray[Any]) -> None:
    np.lib.format.write_array(file, values, allow_pickle=False)


def write_parquet(bag: Bag, dtype: np.dtype[Any], path: Path) -> None:
    """Write one row per patch."""
    options = {"compression": "zstd", "use_dictionary": NAMES}
    with pq.ParquetWriter(path, schema(bag, dtype), **options) as writer:
        for batch in batches(bag, dtype, ROW_GROUP):
            writer.write_batch(batch, row_group_size=ROW_GROUP)


def arrow_blocks(bag: Bag, dtype: np.dtype[Any], step: int) -> Iterator[memoryview]:
    """Give an Arrow IPC stream of the rows, in batches of so many."""
    sink = _Sink()
    with pa.ipc.new_stream(sink, schema(bag, dtype)) as writer:
        for batch in batches(bag, dtype, step):
            writer.write_batch(batch)
            yield from sink.take()
    yield from sink.take()


def table_blocks(table: pa.Table) -> Iterator[memoryview]:
    """Give an Arrow IPC stream of a small table."""
    sink = _Sink()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 16)
    yield from sink.take()


class _Sink:
    """What Arrow writes, until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[memoryview] = []

    def write(self, data: pa.Buffer | bytes) -> int:
        """Keep what is written; it is not copied."""
        part = memoryview(data)
        self._parts.append(part)
        return len(part)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> Iterator[memoryview]:
        """Give what was written, small pieces together."""
        parts, self._parts = self._parts, []
        small: list[memoryview] = []
        for part in parts:
            if len(part) < _SMALL_BYTES:
                small.append(part)
                continue
            if small:
                yield memoryview(b"".join(small))
                small = []
            yield part
        if small:
            yield memoryview(b"".join(small))


_SMALL_BYTES = 1 << 16
