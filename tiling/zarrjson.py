"""Zarr 3 metadata documents and small arrays, written without zarr-python.

Workers write thousands of these; the documents are deterministic (sorted keys, no time), which
byte-identical archives need. A test opens each of them with zarr-python.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import Encoding, encode_patch

Json = dict[str, Any]
DATA_TYPES = {
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
}
LITTLE: Json = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD: Json = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}


def dumps(document: Mapping[str, Any]) -> bytes:
    """Serialise with sorted keys and a final newline."""
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def loads(data: bytes) -> Json:
    """Read a document.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    try:
        found = json.loads(data)
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err
    if isinstance(found, dict):
        return found
    raise ValueError(f"it is no object: {data[:20]!r}")


def group_document(attributes: Mapping[str, Any]) -> bytes:
    """Give the `zarr.json` of a group."""
    return dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes})


def array_document(
    shape: Sequence[int],
    dtype: str,
    *,
    chunks: Sequence[int],
    codecs: Sequence[Json],
    attributes: Mapping[str, Any] | None = None,
) -> bytes:
    """Give the `zarr.json` of an array with regular chunks; every length of `chunks` is >= 1."""
    chunk_grid = {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}
    separator = {"name": "default", "configuration": {"separator": "/"}}
    return dumps(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": DATA_TYPES[dtype],
            "chunk_grid": chunk_grid,
            "chunk_key_encoding": separator,
            "fill_value": 0,
            "codecs": list(codecs),
            "attributes": dict(attributes or {}),
            "storage_transformers": [],
        }
    )


def sharding_codec(chunk: Sequence[int], inner: Sequence[Json]) -> Json:
    """Give the sharding codec: index at the end, little-endian, with crc32c."""
    return {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(chunk),
            "codecs": list(inner),
            "index_codecs": [LITTLE, {"name": "crc32c"}],
            "index_location": "end",
        },
    }


@dataclass(frozen=True)
class SmallArray:
    """An array that is one chunk: its document and the chunk's key and bytes."""

    document: bytes
    chunk_key: str
    chunk: bytes | None


def small_array(
    values: NDArray[Any],
    dtype: str,
    *,
    compress: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> SmallArray:
    """Store `values` as one chunk, plain or with zstd; an empty array has no chunk."""
    data = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<")).tobytes()
    codecs = [LITTLE if np.dtype(dtype).itemsize > 1 else {"name": "bytes"}]
    if compress:
        from numcodecs.zstd import compress as zstd

        data = zstd(data, 3)
        codecs.append(ZSTD)
    chunks = [max(1, length) for length in values.shape]
    document = array_document(
        values.shape, dtype, chunks=chunks, codecs=codecs, attributes=attributes
    )
    key = "/".join(["c", *("0" for _ in values.shape)])
    return SmallArray(document, key, data if values.size else None)


def image_array(pixels: NDArray[np.uint8], encoding: Encoding) -> SmallArray:
    """Store one picture `(h, w, 3)` as one chunk of an image codec."""
    document = array_document(pixels.shape, "u1", chunks=pixels.shape, codecs=encoding.metadata())
    return SmallArray(document, "c/0/0/0", encode_patch(pixels, encoding))
