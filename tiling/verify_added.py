"""Whether arrays that were added to a committed slide are whole: labels, partitions, masks.

Masks record the checksums of their shards; of what records none, layout and decoding are checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tiling import zarrjson
from tiling.embeddings import GROUP as EMBEDDINGS
from tiling.encoding import Encoding, decode_patch, read_encoding
from tiling.errors import CorruptStoreError
from tiling.maps import GROUP as MAPS
from tiling.shard import MISSING, index_bytes, read_index
from tiling.store import DOCUMENT, NUMPY_TYPES, PatchStore, sealed_array, shard_key
from tiling.verify_embeddings import Found, differs

SHARDED = "sharding_indexed"
BROKEN = (ValueError, KeyError, TypeError, LookupError, AttributeError)
"""What documents of another form make of themselves."""


def added_problems(store: PatchStore) -> Found:
    """Read all arrays again that are in the slide's folder and were not written with it."""
    for name in _added(store):
        key = f"{name}/{DOCUMENT}"
        try:
            document = store.document(name)
            shape, attributes = tuple(document["shape"]), document["attributes"]
            written = attributes.get("checksums")
            sharded = document["codecs"][0]["name"] == SHARDED
            layout = _layout(document) if sharded else None
        except (CorruptStoreError, OSError, *BROKEN) as err:
            yield key, f"is damaged: {err}"
            continue
        if "checksum" in attributes and store.read(key) != _sealed(document):
            yield key, "is not what was written"
        elif shape[:1] != (len(store),):
            yield key, f"has {shape[0] if shape else 0} entries for {len(store)} patches"
        elif layout is None:
            yield from _small(store, name)
        else:
            yield from _shards(store, name, layout, written)


def _added(store: PatchStore) -> list[str]:
    """Names of the arrays; one without its document is not there yet."""
    own = {key.partition("/")[0] for key in store.attributes.get("checksums", {})}
    names = set(store.storage.names(store.slide_id)) - own - {DOCUMENT, EMBEDDINGS, MAPS}
    there = [name for name in names if store.storage.exists(f"{store.slide_id}/{name}/{DOCUMENT}")]
    return sorted(there)


def _sealed(document: dict[str, Any]) -> bytes:
    """What should be stored of a document that records its own checksum; others have any form."""
    attributes = {k: v for k, v in document["attributes"].items() if k != "checksum"}
    return sealed_array(zarrjson.dumps(document | {"attributes": attributes}))


@dataclass(frozen=True)
class _Layout:
    """Entries of a shard, the codec of an entry, how many bytes it decodes to, axes."""

    capacity: int
    encoding: Encoding
    entry_bytes: int
    axes: int


def _layout(document: dict[str, Any]) -> _Layout:
    shape, dtype = document["shape"], np.dtype(NUMPY_TYPES[document["data_type"]])
    return _Layout(
        int(document["chunk_grid"]["configuration"]["chunk_shape"][0]),
        read_encoding(document["codecs"][0]["configuration"]["codecs"]),
        prod(shape[1:]) * dtype.itemsize,
        len(shape),
    )


def _small(store: PatchStore, name: str) -> Found:
    try:
        store.small(name)
    except (CorruptStoreError, OSError, ValueError, RuntimeError) as err:
        yield name, f"cannot be read: {err}"


def _shards(store: PatchStore, name: str, layout: _Layout, written: dict[str, Any] | None) -> Found:
    for number in range(-(-len(store) // layout.capacity)):
        key = shard_key(number, name, layout.axes)
        sentence = "" if written is None else differs(store, key, written.get(key))
        if sentence:
            yield key, sentence
            continue
        count = min(layout.capacity, len(store) - number * layout.capacity)
        for sentence in _entries(store, key, layout, count):
            yield key, sentence


def _entries(store: PatchStore, key: str, layout: _Layout, count: int) -> Iterator[str]:
    """Say what is wrong with a shard: its index, entries that miss or do not decode."""
    capacity = layout.capacity
    try:
        data = store.read(key)
        index = read_index(data[max(0, len(data) - index_bytes(capacity)) :], capacity, len(data))
    except (CorruptStoreError, OSError) as err:
        yield f"cannot be read: {err}"
        return
    for i, (start, length) in enumerate(index[:count].tolist()):
        if start == int(MISSING):
            yield f"entry {i} is missing"
            continue
        try:
            found = decode_patch(data[start : start + length], layout.encoding)
        except CorruptStoreError as err:
            yield f"entry {i}: {err}"
            continue
        if found.nbytes != layout.entry_bytes:
            yield f"entry {i} decodes to {found.nbytes} bytes, not {layout.entry_bytes}"
