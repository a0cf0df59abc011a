"""A bag as Arrow record batches: one row per patch, with what a query wants to filter by.

The schema of the Parquet files, and of the stream that the service sends.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.bags.bag import BLOCK_ROWS, Bag, PatchLabels

METADATA = b"microtome"
"""Key of the schema's metadata: JSON about the encoder and the patches."""

LABEL = "label_"
"""Before the name of a class, so that none is taken for another column."""

NAME = pa.dictionary(pa.int32(), pa.string())


def schema(bag: Bag, dtype: np.dtype[Any]) -> pa.Schema:
    """Columns of a bag whose embeddings are stored as `dtype`, and the metadata."""
    number = pa.float16() if dtype == np.float16 else pa.float32()
    columns = [
        ("slide_id", NAME),
        ("patient", NAME),
        ("site", NAME),
        ("row", pa.int32()),
        ("col", pa.int32()),
        ("x", pa.int32()),
        ("y", pa.int32()),
        ("tissue_fraction", pa.float32()),
        ("status", pa.uint8()),
        *((column, pa.int8()) for column in label_columns(bag.labels)),
        ("embedding", pa.list_(pa.field("element", number), bag.dim)),
    ]
    described = json.dumps(describe(bag), sort_keys=True)
    return pa.schema(columns, metadata={METADATA: described.encode()})


def describe(bag: Bag) -> dict[str, Any]:
    """Give what the metadata says: the encoder's card, resolutions, sizes, versions."""
    return {
        "card": bag.card.document(),
        "encoder_id": bag.encoder_id,
        "mpp_0": bag.mpp0,
        "mpp_eff": bag.mpp_effective,
        "P": bag.patch_px,
        "S": bag.stride_px,
        "P0": bag.level0_patch,
        "S0": bag.level0_stride,
        "labels": None if bag.labels is None else list(bag.labels.names),
        "versions": {
            "archive": bag.attributes.get("versions") or {},
            "embeddings": bag.embedding_attributes.get("versions") or {},
        },
    }


def batches(bag: Bag, dtype: np.dtype[Any], rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
    """Give the rows of a bag in order; every batch but the last has `rows` rows."""
    shape = schema(bag, dtype)
    names = (bag.name, bag.patient, bag.site)
    labels = label_values(bag.labels)
    for number, block in enumerate(bag.blocks(rows, dtype)):
        part = slice(number * rows, number * rows + len(block))
        columns = [_repeated(name, len(block)) for name in names]
        columns += [pa.array(values[part]) for values in _numbers(bag)]
        columns += [pa.array(values[part], mask=values[part] < 0) for values in labels]
        columns.append(_lists(block, shape.field("embedding").type))
        yield pa.RecordBatch.from_arrays(columns, schema=shape)


def write_stream(bag: Bag, file: BinaryIO, dtype: np.dtype[Any] | None = None) -> None:
    """Write a bag as an Arrow IPC stream, in blocks; `dtype` is the stored one by default."""
    chosen = bag.dtype if dtype is None else dtype
    with pa.ipc.new_stream(file, schema(bag, chosen)) as stream:
        for batch in batches(bag, chosen):
            stream.write_batch(batch)


def label_columns(labels: PatchLabels | None) -> list[str]:
    """Names of the columns of the classes; numbers stand for classes without a name."""
    if labels is None:
        return []
    return [f"{LABEL}{name}" for name in labels.names] or [
        f"{LABEL}{number}" for number in range(_classes(labels))
    ]


def label_values(labels: PatchLabels | None) -> list[NDArray[np.int8]]:
    """Values `(n,)` of each class: 1 yes, 0 no, -1 unknown."""
    if labels is None:
        return []
    if labels.values.ndim == 2:
        return [np.ascontiguousarray(column, np.int8) for column in labels.values.T]
    index = labels.values
    count = len(labels.names) or _classes(labels)
    return [np.where(index < 0, -1, index == one).astype(np.int8) for one in range(count)]


def _classes(labels: PatchLabels) -> int:
    if labels.values.ndim == 2:
        return int(labels.values.shape[1])
    return int(labels.values.max(initial=-1)) + 1


def _repeated(name: str, count: int) -> pa.DictionaryArray:
    """One name for all rows; null where it is empty: Parquet wants no null in a dictionary."""
    codes = pa.array(np.zeros(count, np.int32)) if name else pa.nulls(count, pa.int32())
    return pa.DictionaryArray.from_arrays(codes, pa.array([name] if name else [], pa.string()))


def _numbers(bag: Bag) -> list[NDArray[Any]]:
    """Give row, col, x, y, tissue_fraction and status, `(n,)` each."""
    along = [np.ascontiguousarray(a[:, i]) for a in (bag.row_col, bag.coords) for i in (0, 1)]
    return [*along, bag.tissue_fraction, bag.status]


def _lists(block: NDArray[Any], type_: pa.DataType) -> pa.FixedSizeListArray:
    values = pa.array(np.ascontiguousarray(block).reshape(-1), type_.value_type)
    return pa.FixedSizeListArray.from_arrays(values, type=type_)
