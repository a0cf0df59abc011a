"""Embeddings as they lie on the disk: any rows by one read, whatever the chunks.

`Embeddings.read` maps whole chunks and copies them, which suits computing; a download that goes
through them in small steps would read each chunk many times.
"""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.bags.bag import Bag, Rows
from tiling.embeddings import Embeddings, array_key
from tiling.errors import CorruptStoreError
from tiling.shard import MISSING, index_bytes, read_index
from tiling.store import PatchStore


class StoredBag(Bag):
    """A bag that reads the rows that are asked for, and no others.

    Args:
        store: the slide.
        encoder_id: whose embeddings.
        keep_unreadable: also give the rows of unreadable (white) patches.
    """

    def __init__(self, store: PatchStore, encoder_id: str, *, keep_unreadable: bool) -> None:
        super().__init__(store, encoder_id, keep_unreadable=keep_unreadable)
        self._plan = Embeddings(store, encoder_id).plan
        self._key = array_key(store.slide_id, encoder_id)
        self._chunks: dict[int, NDArray[np.int64]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether no row is left out."""
        return len(self) == self._plan.count

    def read(self, start: int = 0, stop: int | None = None, dtype: DTypeLike | None = None) -> Rows:
        """See `Bag.read`."""
        first, last, _ = slice(start, stop).indices(len(self))
        kind = self.dtype if dtype is None else np.dtype(dtype)
        if kind != self.dtype or not self.is_whole or last <= first:
            return super().read(start, stop, dtype)
        parts = []
        while first < last:
            end = min(last, first - first % self._plan.chunk_rows + self._plan.chunk_rows)
            parts.append(self._stored(first, end))
            first = end
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _stored(self, first: int, last: int) -> Rows:
        """Read rows of one chunk."""
        plan = self._plan
        chunk, row = divmod(first, plan.chunk_rows)
        shard, number = divmod(chunk, plan.chunks_per_shard)
        if shard not in self._chunks:
            self._chunks[shard] = self._index(shard)
        width = self.dim * self.dtype.itemsize
        start = int(self._chunks[shard][number]) + row * width
        size = (last - first) * width
        data = self.store.storage.read_range(self._name(shard), start, start + size)
        if len(data) != size:
            raise CorruptStoreError(f"{self._name(shard)} is cut short")
        return np.frombuffer(data, self.dtype).reshape(-1, self.dim)

    def _index(self, shard: int) -> NDArray[np.int64]:
        """Give where each chunk of a shard begins."""
        key, storage, capacity = self._name(shard), self.store.storage, self._plan.chunks_per_shard
        tail = storage.read_range(key, -index_bytes(capacity), 0)
        index = read_index(tail, capacity, storage.size(key))
        used = -(-len(self._plan.rows(shard)) // self._plan.chunk_rows)
        if (index[:used, 0] == MISSING).any():
            raise CorruptStoreError(f"{key} lacks a chunk")
        return index[:used, 0].astype(np.int64)

    def _name(self, shard: int) -> str:
        return f"{self._key}/c/{shard}/0"
