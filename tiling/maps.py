"""Maps of a slide, `maps/<name>`: a group of arrays, such as attention or classes, with attributes.

A map that is added to a committed slide is committed as slides are: its arrays first, the group's
`zarr.json` last. What the arrays mean is the writer's; nothing here knows attention or classes.
"""

import itertools
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
from tiling.store import DOCUMENT, NUMPY_TYPES, PatchStore, sealed

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
    """How an array of at least one axis is cut: pictures from three axes on, else rows.

    Attributes:
        shape: of the array.
        dtype: its code, such as `u1`.
        cut: shapes of a chunk and of a shard, whole chunks, where they are not the usual ones.
    """

    shape: Shape
    dtype: str
    cut: tuple[Shape, Shape] | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "MapLayout":
        """Read it from the array's `zarr.json`."""
        shard = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
        chunk = tuple(document["codecs"][0]["configuration"]["chunk_shape"])
        dtype = NUMPY_TYPES[document["data_type"]]
        return cls(tuple(document["shape"]), dtype, (chunk, shard))

    @property
    def chunk(self) -> Shape:
        """Shape of a chunk."""
        if self.cut is not None:
            return self.cut[0]
        sides = [TILE_PX, TILE_PX] if len(self.shape) > 2 else [ROW_VALUES]
        limits = [1] * (len(self.shape) - len(sides)) + sides
        return tuple(max(1, min(n, limit)) for n, limit in zip(self.shape, limits, strict=True))

    @property
    def shard(self) -> Shape:
        """Shape of a shard, whole chunks: everything, or bands of a picture's or row's length."""
        if self.cut is not None:
            return self.cut[1]
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
    storage.write(f"{key}/{DOCUMENT}", [map_document(known)])


def map_document(attributes: Mapping[str, Any]) -> bytes:
    """Give a map's own `zarr.json`; its attribute `checksum` is the crc32c of all the others."""
    return zarrjson.group_document({"microtome": sealed(attributes)})


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


def map_lease(slide_id: str, name: str) -> str:
    """Name the lease under which a map is written; no slide has an @ in its ID."""
    return f"{slide_id}@map-{name}"


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
            document = zarrjson.loads(self._storage.read(f"{self._key}/{DOCUMENT}"))
            self.attributes: dict[str, Any] = document["attributes"]["microtome"]
        except FileNotFoundError as err:
            known = ", ".join(map_names(store)) or "none"
            raise StoreError(f"{store.slide_id} has no map {name!r}; there are: {known}") from err
        except (ValueError, KeyError) as err:
            raise CorruptStoreError(f"{self._key}/{DOCUMENT} is damaged: {err}") from err

    def layout(self, array: str) -> MapLayout:
        """Tell how an array is cut, and its shape.

        Raises:
            StoreError: the map has no such array.
            CorruptStoreError: its document is damaged.
        """
        if array not in self.attributes["arrays"]:
            known = ", ".join(self.attributes["arrays"])
            raise StoreError(f"the map {self.name!r} has no array {array!r}; there are: {known}")
        key = f"{self._key}/{array}/{DOCUMENT}"
        try:
            return MapLayout.of(zarrjson.loads(self._storage.read(key)))
        except (ValueError, KeyError, TypeError, LookupError) as err:
            raise CorruptStoreError(f"{key} is damaged: {err}") from err

    def read(self, array: str, box: Sequence[slice] = ()) -> NDArray[Any]:
        """Read one array as a whole, or the part in a box: a slice per axis, missing ones whole.

        Only the chunks under the box are read.
        """
        layout = self.layout(array)
        whole = [*box, *[slice(None)] * (len(layout.shape) - len(box))]
        spans = [slice(*s.indices(n)[:2]) for s, n in zip(whole, layout.shape, strict=True)]
        shape = [max(0, s.stop - s.start) for s in spans]
        values = np.zeros(shape, np.dtype(layout.dtype))
        if values.size:
            for number in _shards_under(spans, layout):
                key = "/".join([self._key, array, "c", *map(str, number)])
                self._fill(values, key, layout, (number, spans))
        return values

    def _fill(
        self,
        values: NDArray[Any],
        key: str,
        layout: MapLayout,
        part: tuple[Shape, Sequence[slice]],
    ) -> None:
        """Paste the chunks of a shard that lie under the box."""
        number, spans = part
        try:
            tail = self._storage.read_range(key, -index_bytes(layout.capacity), 0)
            index = read_index(tail, layout.capacity, self._storage.size(key))
        except CorruptStoreError as err:
            raise CorruptStoreError(f"{key}: {err}") from err
        places = [
            (box, int(start), int(start) + int(length))
            for box, (start, length) in zip(layout.boxes(number), index.tolist(), strict=True)
            if all(b.start < s.stop and s.start < b.stop for b, s in zip(box, spans, strict=True))
        ]
        if any(start == int(MISSING) for _, start, _ in places):
            raise CorruptStoreError(f"{key} lacks a chunk")
        starts, stops = [start for _, start, _ in places], [stop for _, _, stop in places]
        found = self._storage.read_ranges([key] * len(places), starts, stops)
        for (box, _, _), data in zip(places, found, strict=True):
            _paste(values, spans, box, _decoded(data, layout, key))


def _shards_under(spans: Sequence[slice], layout: MapLayout) -> Iterator[Shape]:
    """Numbers of the shards that a box touches."""
    ranges = [
        range(s.start // n, -(-s.stop // n)) for s, n in zip(spans, layout.shard, strict=True)
    ]
    return itertools.product(*ranges)


def _decoded(data: bytes, layout: MapLayout, key: str) -> NDArray[Any]:
    from numcodecs.zstd import decompress

    stored = np.dtype(layout.dtype).newbyteorder("<")
    try:
        return np.frombuffer(decompress(data), stored).reshape(layout.chunk)
    except (RuntimeError, ValueError) as err:  # numcodecs; another length
        raise CorruptStoreError(f"{key} holds a damaged chunk: {err}") from err


def _paste(
    values: NDArray[Any], spans: Sequence[slice], box: Sequence[slice], chunk: NDArray[Any]
) -> None:
    """Copy what a chunk and the box share."""
    pairs = list(zip(spans, box, strict=True))
    both = [(max(s.start, b.start), min(s.stop, b.stop)) for s, b in pairs]
    into = tuple(
        slice(a - s.start, z - s.start) for (a, z), (s, _) in zip(both, pairs, strict=True)
    )
    out_of = tuple(
        slice(a - b.start, z - b.start) for (a, z), (_, b) in zip(both, pairs, strict=True)
    )
    values[into] = chunk[out_of]
