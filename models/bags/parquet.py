"""Parquet: one row per patch, one file per slide in `slide_id=<id>` folders of a data set.

The data set is a folder of its own, since readers that are given a folder read every file in it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.bags.arrow import batches, label_columns, schema
from models.bags.bag import BLOCK_ROWS, Bag, Rows
from models.bags.sink import Sink
from models.bags.table import STORED, Cohort, ForeignBag
from models.errors import BagError

DTYPES = (STORED, "float32", "float16")
CSV_IDS = False

DATASET = "patches"
"""Folder of the data set inside the export folder."""

FILE = "part-0.parquet"
NAMES = ["slide_id", "patient", "site"]
"""Columns that hold one value; only these are stored as dictionaries."""

ROW_GROUP = BLOCK_ROWS


def write(bag: Bag, sink: Sink, dtype: np.dtype[Any]) -> None:
    """Write one slide; an empty one has a file without rows."""
    options = {"compression": "zstd", "use_dictionary": NAMES}
    with (
        sink.file(f"{DATASET}/slide_id={bag.name}/{FILE}") as path,
        pq.ParquetWriter(path, schema(bag, dtype), **options) as writer,
    ):
        for batch in batches(bag, dtype, ROW_GROUP):
            writer.write_batch(batch, row_group_size=ROW_GROUP)
    sink.notes["labels"] = label_columns(bag.labels)


def finish(cohort: Cohort, sink: Sink) -> None:
    """Say what readers of the whole data set should know; there is no file about it."""
    if len({tuple(facts.notes.get("labels", ())) for facts in cohort.slides}) > 1:
        sink.warn("slides differ in their label columns; readers must be told to unify schemas")
    if cohort.slides and all(_is_number(facts.name) for facts in cohort.slides):
        sink.warn(
            "every ID is a number: pyarrow takes the folders' names for numbers and refuses the "
            "data set; pass partitioning=None, or export with --prefix-ids"
        )


def read(folder: Path) -> Iterator[ForeignBag]:
    """Read every slide of a data set.

    Raises:
        BagError: there is none, or a file is not as the format says.
    """
    found = sorted(folder.rglob("*.parquet"))
    if not found:
        raise BagError(f"{folder} holds no Parquet files")
    return (_bag(path) for path in found)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _bag(path: Path) -> ForeignBag:
    with _opened(path) as file:
        columns = file.schema_arrow
        lists = columns.field("embedding").type if "embedding" in columns.names else None
        if lists is None or not pa.types.is_fixed_size_list(lists):
            raise BagError(f"{path} has no column `embedding` of lists of one length")
        table = file.read(["x", "y", "slide_id"])
    dtype = np.dtype(lists.value_type.to_pandas_dtype())
    positions = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
    names = table["slide_id"].unique().to_pylist()
    if len(names) > 1:
        raise BagError(f"{path} holds {len(names)} slides; a file has one")
    name = names[0] if names else path.parent.name.removeprefix("slide_id=")

    def take(indices: NDArray[np.int64]) -> Rows:
        out = np.empty((len(indices), lists.list_size), dtype)
        with _opened(path) as file:
            for low, high, group, first in _groups(file.metadata, indices):
                out[low:high] = _rows(file, group, lists.list_size)[indices[low:high] - first]
        return out

    return ForeignBag(str(name), positions, "corner", lists.list_size, dtype, take)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as err:
        raise BagError(f"{path} cannot be read: {err}") from err


def _groups(
    metadata: pq.FileMetaData, indices: NDArray[np.int64]
) -> Iterator[tuple[int, int, int, int]]:
    """Give the row groups that hold ascending `indices`.

    Yields:
        where the group's part of `indices` begins and ends, its number, its first row.
    """
    first = 0
    for group in range(metadata.num_row_groups):
        after = first + metadata.row_group(group).num_rows
        low, high = (int(i) for i in np.searchsorted(indices, (first, after)))
        if low < high:
            yield low, high, group, first
        first = after


def _rows(file: pq.ParquetFile, group: int, dim: int) -> Rows:
    column = file.read_row_group(group, ["embedding"])["embedding"].combine_chunks()
    values: Rows = column.flatten().to_numpy().reshape(-1, dim)
    return values
