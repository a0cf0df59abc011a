"""Patches out of an archive, fast: shard indexes are read once, bytes are mapped or fetched.

zarr-python reads the same arrays and is what this must agree with, byte for byte (tested); it
spends most of its time on indexing, so training does not go through it.
"""

import mmap
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import AnyPixels, decode_patch, read_encoding
from tiling.errors import CorruptStoreError, StoreError
from tiling.shard import MISSING, index_bytes, read_index
from tiling.storage import LocalStorage, Storage
from tiling.store import NUMPY_TYPES, PatchStore, shard_key

Indices = Sequence[int] | NDArray[np.integer]

OPEN_SHARDS = 64
"""Shards that stay mapped; a mapping costs address space and a descriptor, not memory."""


class PatchReader:
    """Random access to the patches of one slide, or to an array that lies beside them, as `masks`.

    Pickles, and opens its files anew in another process. Not thread-safe.

    Args:
        store: the slide.
        array: sharded, one entry per chunk.

    Attributes:
        encoding: how an entry is stored.
        patch_shape: of an entry: `(P, P, 3)` of tissue, `(H, W, 1)` of volumes, `(H, W)` of masks.
        dtype: of an entry.
        patch_px: its height.

    Raises:
        StoreError: the archive cannot be read.
        CorruptStoreError: what is stored is not what was written.
    """

    def __init__(self, store: PatchStore, array: str = "patches") -> None:
        document = store.document(array)
        self.encoding = read_encoding(document["codecs"][0]["configuration"]["codecs"])
        self.dtype = np.dtype(NUMPY_TYPES[document["data_type"]]).newbyteorder("<")
        self.patch_shape: tuple[int, ...] = tuple(document["shape"][1:])
        self.patch_px = int(document["shape"][1])
        self._count = int(document["shape"][0])
        self._capacity = int(document["chunk_grid"]["configuration"]["chunk_shape"][0])
        self._store, self._array = store, array
        keys = _ShardKeys(array, len(document["shape"]))
        self._shards = _shards(store, keys, self._capacity)

    def __getstate__(self) -> dict[str, object]:
        """Leave open files behind."""
        return {"_store": self._store, "_array": self._array}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the same slide."""
        self.__init__(state["_store"], state["_array"])  # type: ignore[misc]  # constructor's own

    def __len__(self) -> int:
        """Number of patches."""
        return self._count

    def __getitem__(self, index: int) -> AnyPixels:
        """Decode one patch `(P, P, 3)`; negative indices count from the end."""
        pixels = np.empty(self.patch_shape, self.dtype)
        return decode_patch(self.encoded(index), self.encoding, pixels)

    def __iter__(self) -> Iterator[AnyPixels]:
        """Decode all patches in order."""
        return (self[index] for index in range(len(self)))

    def encoded(self, index: int) -> bytes:
        """Give the stored bytes of one patch."""
        number, chunk = divmod(self._positive(index), self._capacity)
        return self._shards.read(number, chunk)

    def encoded_many(self, indices: Indices) -> Iterator[bytes]:
        """Give the stored bytes of many patches, in the order of `indices`."""
        wanted = [divmod(self._positive(int(index)), self._capacity) for index in indices]
        return iter(self._shards.read_many(wanted))

    def read(self, indices: Indices, out: AnyPixels | None = None) -> AnyPixels:
        """Decode a batch `(B, P, P, 3)` in the order of `indices`, into `out` where given."""
        shape = (len(indices), *self.patch_shape)
        batch = np.empty(shape, self.dtype) if out is None else out
        if batch.shape != shape or batch.dtype != self.dtype or not batch.flags.c_contiguous:
            layout = "" if batch.flags.c_contiguous else ", not contiguous"
            raise ValueError(
                f"out must be {self.dtype} {shape}, got {batch.dtype} {batch.shape}{layout}"
            )
        for pixels, data in zip(batch, self.encoded_many(indices), strict=True):
            decode_patch(data, self.encoding, pixels)
        return batch

    @property
    def open_files(self) -> int:
        """Shards that are mapped now; each takes a file descriptor."""
        return self._shards.open_files

    def close(self) -> None:
        """Let go of mapped files; reading maps them again."""
        self._shards.close()

    def _positive(self, index: int) -> int:
        if not -self._count <= index < self._count:
            raise IndexError(f"no patch {index}: the slide has {self._count}")
        return index % self._count


class _ShardKeys(NamedTuple):
    """Gives the keys of an array's shards, relative to the slide."""

    array: str
    axes: int

    def __call__(self, number: int) -> str:
        return shard_key(number, self.array, self.axes)


class _MappedShards:
    """Shards of a local archive, mapped into memory."""

    def __init__(self, store: PatchStore, keys: _ShardKeys, capacity: int) -> None:
        self._folder = Path(store.storage.root, store.slide_id)
        self._keys, self._capacity = keys, capacity
        self._open: OrderedDict[int, tuple[mmap.mmap, list[tuple[int, int]]]] = OrderedDict()

    def read(self, number: int, chunk: int) -> bytes:
        """Bytes of one chunk."""
        entry = self._open.get(number)
        if entry is None:
            entry = self._map(number)
        else:
            self._open.move_to_end(number)
        data, index = entry
        start, stop = index[chunk]
        return data[start:stop]

    def read_many(self, wanted: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Bytes of many chunks, (shard, chunk) each."""
        return (self.read(number, chunk) for number, chunk in wanted)

    @property
    def open_files(self) -> int:
        """Shards that are mapped."""
        return len(self._open)

    def close(self) -> None:
        """Unmap all."""
        while self._open:
            self._open.popitem()[1][0].close()

    def _map(self, number: int) -> tuple[mmap.mmap, list[tuple[int, int]]]:
        path = self._folder / self._keys(number)
        try:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as err:  # ValueError: an empty file cannot be mapped
            raise StoreError(f"cannot read {path}: {err}") from err
        tail = data[max(0, len(data) - index_bytes(self._capacity)) :]
        entry = data, _bounds(tail, self._capacity, len(data), str(path))
        self._open[number] = entry
        while len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)[1][0].close()
        return entry


class _FetchedShards:
    """Shards in an object store, read in ranges; only indexes are kept."""

    open_files = 0

    def __init__(self, store: PatchStore, keys: _ShardKeys, capacity: int) -> None:
        self._storage: Storage = store.storage
        self._slide_id, self._keys, self._capacity = store.slide_id, keys, capacity
        self._indexes: dict[int, list[tuple[int, int]]] = {}

    def read(self, number: int, chunk: int) -> bytes:
        """Bytes of one chunk."""
        return self.read_many([(number, chunk)])[0]

    def read_many(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes of many chunks, (shard, chunk) each, fetched at once."""
        bounds = [self._index(number)[chunk] for number, chunk in wanted]
        keys = [self._key(number) for number, _ in wanted]
        return self._storage.read_ranges(keys, [b[0] for b in bounds], [b[1] for b in bounds])

    def close(self) -> None:
        """Nothing is open."""

    def _key(self, number: int) -> str:
        return f"{self._slide_id}/{self._keys(number)}"

    def _index(self, number: int) -> list[tuple[int, int]]:
        if number not in self._indexes:
            key = self._key(number)
            tail = self._storage.read_range(key, -index_bytes(self._capacity), 0)
            size = self._storage.size(key)
            self._indexes[number] = _bounds(tail, self._capacity, size, key)
        return self._indexes[number]


def _shards(store: PatchStore, keys: _ShardKeys, capacity: int) -> _MappedShards | _FetchedShards:
    made = _MappedShards if isinstance(store.storage, LocalStorage) else _FetchedShards
    return made(store, keys, capacity)


def _bounds(tail: bytes, capacity: int, size: int, name: str) -> list[tuple[int, int]]:
    """Start and stop of each chunk as Python integers, which slice faster than NumPy's."""
    try:
        index = read_index(tail, capacity, size)
    except CorruptStoreError as err:
        raise CorruptStoreError(f"{name}: {err}") from err
    present = index[:, 0] != MISSING
    starts = np.where(present, index[:, 0], 0)
    stops = starts + np.where(present, index[:, 1], 0)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
