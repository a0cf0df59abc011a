"""Maps of a slide, `maps/<name>`: a group of arrays, such as attention or classes, with attributes.

A map that is added to a committed slide is committed as slides are: its arrays first, the group's
`zarr.json` last. What the arrays mean is the writer's; nothing here knows attention or classes.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling import zarrjson
from tiling.errors import CorruptStoreError, StoreError
from tiling.shard import MISSING, crc32c, index_bytes, read_index, shard_parts
from tiling.storage import Storage
from tiling.store import DOCUMENT, NUMPY_TYPES, PatchStore

GROUP = "maps"
TILE_PX = 512
"""Side of a chunk of a picture `(…, h, w)`: what a viewer asks for at once."""
ROW_VALUES = 1 << 16
"""Values of a chunk of rows `(…, N)`."""
SHARD_BYTES = 64 << 20
"""A shard is at most about this large, so that most arrays are one file and memory is bounded."""

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MapLayout:
    """How an array of at least one axis is cut: pictures from three axes on, else rows."""

    shape: Shape
    dtype: str

    @property
    def chunk(self) -> Shape:
        """Shape of a chunk."""
        sides = [TILE_PX, TILE_PX] if len(self.shape) > 2 else [ROW_VALUES]
        limits = [1] * (len(self.shape) - len(sides)) + sides
        return tuple(max(1, min(n, limit)) for n, limit in zip(self.shape, limits, strict=True))

    @property
    def shard(self) -> Shape:
        """Shape of a shard, whole chunks: everything, or bands of a picture's or row's length."""
        whole = [-(-max(n, 1) // c) * c for n, c in zip(self.shape, self.chunk, strict=True)]
        axis = max(0, len(whole) - 2) if len(whole) > 2 else len(whole) - 1
        step = self.chunk[axis]
        band = math.prod(whole) // whole[axis] * step * np.dtype(self.dtype).itemsize
        whole[axis] = min(whole[axis], step * max(1, SHARD_BYTES // band))
        return tuple(whole)

    @property
    def shards(self) -> Iterator[Shape]:
        """Numbers of the shards along each axis."""
        counts = [-(-n // s) for n, s in zip(self.shape, self.shard, strict=True)]
        return iter(np.ndindex(*counts))

    @property
    def capacity(self) -> int:
        """Chunks of a shard."""
        return math.prod(self._chunks)

    @property
    def _chunks(self) -> Shape:
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    def boxes(self, number: Shape) -> Iterator[tuple[slice, ...]]:
        """Where each chunk of a shard lies in the array, in order; empty where it lies outside."""
        for inner in np.ndindex(*self._chunks):
            starts = [
                n * s + i * c
                for n, s, i, c in zip(number, self.shard, inner, self.chunk, strict=True)
            ]
            yield tuple(
                slice(min(start, n), min(start + c, n))
                for start, n, c in zip(starts, self.shape, self.chunk, strict=True)
            )

    def document(self) -> bytes:
        """Give the array's `zarr.json`."""
        plain = [zarrjson.LITTLE if np.dtype(self.dtype).itemsize > 1 else {"name": "bytes"}]
        sharding = zarrjson.sharding_codec(self.chunk, [*plain, zarrjson.ZSTD])
        return zarrjson.array_document(self.shape, self.dtype, chunks=self.shard, codecs=[sharding])


def map_key(slide_id: str, name: str) -> str:
    """Key of the map's group.

    Raises:
        StoreError: this cannot be a name.
    """
    if not SAFE_NAME.fullmatch(name):
        raise StoreError(f"{name!r} cannot name a map: letters, digits and ._+- only")
    return f"{slide_id}/{GROUP}/{name}"


def write_map(
    store: PatchStore,
    name: str,
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Store a map; one of that name is taken away first, so that never half of each is seen.

    Args:
        store: the slide.
        name: of the map.
        arrays: by name, u1, i1, i2, i4, f2 or f4; pictures are (…, h, w) with three axes or more.
        attributes: JSON values that say what the arrays are.

    Raises:
        StoreError: it cannot be written.
    """
    storage, key = store.storage, map_key(store.slide_id, name)
    storage.delete(f"{key}/{DOCUMENT}")
    storage.delete(key)
    checksums: dict[str, list[int]] = {}
    for array, values in arrays.items():
        for relative, parts in _objects(values):
            storage.write(f"{key}/{array}/{relative}", parts)
            checksums[f"{array}/{relative}"] = [sum(map(len, parts)), crc32c(parts)]
    known = dict(attributes) | {"arrays": sorted(arrays), "checksums": checksums}
    group = f"{key.rpartition('/')[0]}/{DOCUMENT}"
    if not storage.exists(group):
        storage.write(group, [zarrjson.group_document({})])
    storage.write(f"{key}/{DOCUMENT}", [zarrjson.group_document({"microtome": known})])


def _objects(values: NDArray[Any]) -> Iterator[tuple[str, Sequence[bytes]]]:
    """Keys and parts of an array's shards, then of its document."""
    layout = MapLayout(values.shape, values.dtype.str[1:])
    for number in layout.shards:
        chunks = [_chunk(values[box], layout) for box in layout.boxes(number)]
        key = "/".join(["c", *map(str, number)])
        yield key, shard_parts(chunks, layout.capacity)
    yield DOCUMENT, [layout.document()]


def _chunk(values: NDArray[Any], layout: MapLayout) -> bytes:
    """Bytes of one chunk, filled with zeros where it reaches beyond the array."""
    from numcodecs.zstd import compress

    whole = np.zeros(layout.chunk, np.dtype(layout.dtype).newbyteorder("<"))
    whole[tuple(slice(n) for n in values.shape)] = values
    return bytes(compress(whole, 3))


def map_names(store: PatchStore) -> list[str]:
    """Maps of this slide that are committed, sorted."""
    prefix = f"{store.slide_id}/{GROUP}"
    names = [name for name in store.storage.names(prefix) if name != DOCUMENT]
    return [name for name in names if store.storage.exists(f"{prefix}/{name}/{DOCUMENT}")]


class SlideMap:
    """A committed map of one slide.

    Attributes:
        attributes: what the writer recorded, with the names of its `arrays`.

    Raises:
        StoreError: there is none of that name.
        CorruptStoreError: what is stored is not what was written.
    """

    def __init__(self, store: PatchStore, name: str) -> None:
        self.name = name
        self._storage: Storage = store.storage
        self._key = map_key(store.slide_id, name)
        try:
            document = json.loads(self._storage.read(f"{self._key}/{DOCUMENT}"))
            self.attributes: dict[str, Any] = document["attributes"]["microtome"]
        except FileNotFoundError as err:
            known = ", ".join(map_names(store)) or "none"
            raise StoreError(f"{store.slide_id} has no map {name!r}; there are: {known}") from err
        except (ValueError, KeyError) as err:
            raise CorruptStoreError(f"{self._key}/{DOCUMENT} is damaged: {err}") from err

    def read(self, array: str) -> NDArray[Any]:
        """Read one array as a whole."""
        if array not in self.attributes["arrays"]:
            known = ", ".join(self.attributes["arrays"])
            raise StoreError(f"the map {self.name!r} has no array {array!r}; there are: {known}")
        document = json.loads(self._storage.read(f"{self._key}/{array}/{DOCUMENT}"))
        layout = MapLayout(tuple(document["shape"]), NUMPY_TYPES[document["data_type"]])
        values = np.zeros(layout.shape, np.dtype(layout.dtype))
        for number in layout.shards:
            self._fill(values, "/".join([self._key, array, "c", *map(str, number)]), layout, number)
        return values

    def _fill(self, values: NDArray[Any], key: str, layout: MapLayout, number: Shape) -> None:
        from numcodecs.zstd import decompress

        data = self._storage.read(key)
        try:
            index = read_index(data[-index_bytes(layout.capacity) :], layout.capacity, len(data))
        except CorruptStoreError as err:
            raise CorruptStoreError(f"{key}: {err}") from err
        stored = np.dtype(layout.dtype).newbyteorder("<")
        for box, (start, length) in zip(layout.boxes(number), index.tolist(), strict=True):
            if start == int(MISSING):
                raise CorruptStoreError(f"{key} lacks a chunk")
            try:
                plain = np.frombuffer(decompress(data[start : start + length]), stored)
                whole = plain.reshape(layout.chunk)
            except (RuntimeError, ValueError) as err:  # numcodecs; another length
                raise CorruptStoreError(f"{key} holds a damaged chunk: {err}") from err
            part = values[box]
            part[...] = whole[tuple(slice(n) for n in part.shape)]
