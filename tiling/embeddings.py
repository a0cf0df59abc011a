"""Embeddings of a slide's patches, `embeddings/<encoder_id>`: rows `(N, D)` in the patches' order.

An array that is added to a committed slide is committed as slides are: its shards first, its
`zarr.json` last. What made the rows is in the array's attributes. Knows neither encoders nor torch.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling import zarrjson
from tiling.errors import CorruptStoreError, StoreError
from tiling.shard import MISSING, crc32c, index_bytes, read_index, shard_parts
from tiling.storage import LocalStorage, Storage
from tiling.store import DOCUMENT, NUMPY_TYPES, PatchStore, sealed

GROUP = "embeddings"
CHUNK_ROWS = 1024
"""Rows of a chunk: at least these where a slide has as many, less than twice as many."""
SHARD_BYTES = 64 << 20
"""A shard is at most this large, so that a task's memory is bounded."""

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")

Rows = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """How `(N, D)` rows are laid out; `dtype` is `f2` or `f4`."""

    count: int
    dim: int
    dtype: str

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk. All are as long, since Zarr stores the last one whole as well."""
        chunks = max(1, self.count // CHUNK_ROWS)
        return max(1, -(-self.count // chunks))

    @property
    def chunks_per_shard(self) -> int:
        """Chunks that a shard has room for."""
        chunk_bytes = self.chunk_rows * self.dim * np.dtype(self.dtype).itemsize
        chunks = -(-max(self.count, 1) // self.chunk_rows)
        return min(max(1, SHARD_BYTES // chunk_bytes), chunks)

    @property
    def rows_per_shard(self) -> int:
        """Rows of one shard, a whole number of chunks."""
        return self.chunk_rows * self.chunks_per_shard

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.count // self.rows_per_shard)

    def rows(self, number: int) -> range:
        """Rows of shard `number`."""
        first = number * self.rows_per_shard
        return range(first, min(first + self.rows_per_shard, self.count))

    def document(self, attributes: Mapping[str, Any]) -> bytes:
        """Give the array's `zarr.json`; `checksum` is the crc32c of all the other attributes."""
        inner = [zarrjson.LITTLE]
        sharding = zarrjson.sharding_codec((self.chunk_rows, self.dim), inner)
        return zarrjson.array_document(
            (self.count, self.dim),
            self.dtype,
            chunks=(self.rows_per_shard, self.dim),
            codecs=[sharding],
            attributes={"microtome": sealed(attributes)},
        )


def array_key(slide_id: str, encoder_id: str) -> str:
    """Key of the array.

    Raises:
        StoreError: the ID cannot be a name.
    """
    if not SAFE_ID.fullmatch(encoder_id):
        raise StoreError(f"{encoder_id!r} cannot name an encoder: letters, digits and ._+- only")
    return f"{slide_id}/{GROUP}/{encoder_id}"


def put_shard(
    storage: Storage, key: str, plan: EmbeddingPlan, number: int, rows: Rows
) -> dict[str, list[int]]:
    """Write the rows of one shard under the array's `key`; gives `{relative key: [bytes, crc]}`."""
    values = np.ascontiguousarray(rows, np.dtype(plan.dtype).newbyteorder("<"))
    if values.shape != (len(plan.rows(number)), plan.dim):
        raise ValueError(f"shard {number} has {len(plan.rows(number))} rows, got {values.shape}")
    step = plan.chunk_rows
    chunks = [_chunk(values[i : i + step], step) for i in range(0, len(values), step)]
    parts = shard_parts(chunks, plan.chunks_per_shard)
    storage.write(f"{key}/c/{number}/0", parts)
    return {f"c/{number}/0": [sum(map(len, parts)), crc32c(parts)]}


def staged_key(storage: Storage, slide_id: str, encoder_id: str, token: str) -> str:
    """Key under which the run `token` prepares the array; in an object store it is the array's."""
    return storage.staging(array_key(slide_id, encoder_id), token)


def commit(
    storage: Storage,
    key: str,
    plan: EmbeddingPlan,
    attributes: Mapping[str, Any],
    *,
    staged: str | None = None,
) -> None:
    """Make the array appear: its `zarr.json`, after all shards.

    Args:
        storage: where the archive lies.
        key: of the array.
        plan: its layout.
        attributes: what made the rows, with `checksums` of the shards as `put_shard` gives them.
        staged: where the shards lie, if not under `key`; a folder is then moved as a whole.
    """
    group = key.rpartition("/")[0]
    storage.tidy(group)  # of a run that was killed right here
    if not storage.exists(f"{group}/{DOCUMENT}"):
        storage.write(f"{group}/{DOCUMENT}", [zarrjson.group_document({})])
    document = plan.document(attributes)
    if staged is None:
        storage.write(f"{key}/{DOCUMENT}", [document])
    else:
        storage.publish(staged, key, DOCUMENT, document)


def embedding_ids(store: PatchStore) -> list[str]:
    """Encoders whose embeddings of this slide are committed, sorted."""
    names = store.storage.names(f"{store.slide_id}/{GROUP}")
    return [
        name
        for name in names
        if name != DOCUMENT and store.storage.exists(f"{store.slide_id}/{GROUP}/{name}/{DOCUMENT}")
    ]


class Embeddings:
    """Committed embeddings of one slide; rows are read in the order of the patches.

    Attributes:
        attributes: what the writer recorded (the encoder's card, settings, checksums).

    Raises:
        StoreError: there are none of this encoder.
        CorruptStoreError: what is stored is not what was written.
    """

    def __init__(self, store: PatchStore, encoder_id: str) -> None:
        self.encoder_id = encoder_id
        self._storage, self._key = store.storage, array_key(store.slide_id, encoder_id)
        document = self._document(store)
        self.attributes: dict[str, Any] = document["attributes"]["microtome"]
        count, dim = document["shape"]
        self.plan = EmbeddingPlan(count, dim, NUMPY_TYPES[document["data_type"]])
        if count != len(store):
            raise CorruptStoreError(f"{self._key} has {count} rows for {len(store)} patches")

    def _document(self, store: PatchStore) -> dict[str, Any]:
        try:
            parsed: dict[str, Any] = zarrjson.loads(self._storage.read(f"{self._key}/{DOCUMENT}"))
        except FileNotFoundError as err:
            known = ", ".join(embedding_ids(store)) or "none"
            raise StoreError(
                f"{store.slide_id} has no embeddings of {self.encoder_id!r}; there are: {known}"
            ) from err
        except ValueError as err:
            raise CorruptStoreError(f"{self._key}/{DOCUMENT} is damaged: {err}") from err
        return parsed

    def __len__(self) -> int:
        """Number of rows."""
        return self.plan.count

    @property
    def dim(self) -> int:
        """Length of a row."""
        return self.plan.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16 or float32, as stored."""
        return np.dtype(self.plan.dtype)

    def read(self, start: int = 0, stop: int | None = None) -> Rows:
        """Read rows `start` to `stop`, `(n, D)`."""
        first, last, _ = slice(start, stop).indices(len(self))
        if last <= first:
            return np.zeros((0, self.dim), self.dtype)
        step = self.plan.chunk_rows
        chunks = range(first // step, -(-last // step))
        values = np.concatenate([self._chunks(part) for part in self._by_shard(chunks)])
        skip = first - chunks.start * step
        return values[skip : skip + last - first]

    def blocks(self, rows: int = 8 * CHUNK_ROWS) -> Iterator[Rows]:
        """Read all rows in order, in blocks that bound the memory."""
        return (self.read(start, start + rows) for start in range(0, len(self), rows))

    def _by_shard(self, chunks: range) -> Iterator[tuple[int, range]]:
        per_shard = self.plan.chunks_per_shard
        for number in range(chunks.start // per_shard, -(-chunks.stop // per_shard)):
            first = number * per_shard
            inside = range(max(chunks.start, first), min(chunks.stop, first + per_shard))
            yield number, range(inside.start - first, inside.stop - first)

    def _chunks(self, part: tuple[int, range]) -> Rows:
        number, chunks = part
        key, per_shard = f"{self._key}/c/{number}/0", self.plan.chunks_per_shard
        tail = self._storage.read_range(key, -index_bytes(per_shard), 0)
        index = read_index(tail, per_shard, self._storage.size(key))[chunks.start : chunks.stop]
        if (index[:, 0] == MISSING).any():
            raise CorruptStoreError(f"{key} lacks a chunk")
        start, stop = int(index[0, 0]), int(index[-1].sum())  # chunks lie one after the other
        rows = self._numbers(key, start, stop).reshape(-1, self.dim)
        total, step = len(self.plan.rows(number)), self.plan.chunk_rows
        return rows[: min(total, chunks.stop * step) - chunks.start * step]

    def _numbers(self, key: str, start: int, stop: int) -> Rows:
        """Numbers between two offsets; of a local file mapped, which saves most of the time."""
        if isinstance(self._storage, LocalStorage):
            count = (stop - start) // self.dtype.itemsize
            return np.memmap(Path(self._storage.root, key), self.dtype, "r", start, (count,))
        return np.frombuffer(self._storage.read_range(key, start, stop), self.dtype)


def _chunk(rows: Rows, whole: int) -> bytes:
    """Bytes of one chunk; the last one is filled with zeros, as Zarr has whole chunks only."""
    missing = whole - len(rows)
    return rows.tobytes() + bytes(missing * rows.shape[1] * rows.itemsize)
