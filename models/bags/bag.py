"""One slide's embeddings with all that exporters need to know, in blocks that bound the memory.

Knows no format. Rows of unreadable patches are left out unless they are asked for.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.bags.patches import Pair, Patches, PatchLabels
from models.encoders.card import EncoderCard
from models.errors import BagError
from tiling.embeddings import CHUNK_ROWS, Embeddings
from tiling.errors import StoreError
from tiling.store import PatchStore

__all__ = ["BLOCK_ROWS", "Bag", "Pair", "PatchLabels", "Rows"]

BLOCK_ROWS = 8192
"""Most rows that are read at once."""
BLOCK_BYTES = 8 << 20
"""What is read at once: it stays in the processor's cache, and its memory is used again."""
ONE_THREAD = 32_768
"""Numbers up to which torch converts in the caller's thread; waking others costs more here."""

Rows = NDArray[np.floating[Any]]


class Bag(Patches):
    """One slide: n embeddings in the archive's order (y, then x), and what belongs to them.

    Args:
        store: the slide.
        encoder_id: whose embeddings.
        keep_unreadable: also give the rows of unreadable (white) patches.
        prefix: put before the IDs of slide and patient, for consumers that take "0012" for 12.

    Raises:
        BagError: the slide has no embeddings of that encoder, or its card is damaged.
        StoreError: the archive cannot be read.
    """

    def __init__(
        self,
        store: PatchStore,
        encoder_id: str,
        *,
        keep_unreadable: bool = False,
        prefix: str = "",
    ) -> None:
        super().__init__(store, keep_unreadable=keep_unreadable, prefix=prefix)
        self._embeddings = _embeddings(store, encoder_id)
        self.card = _card(self._embeddings)
        self.encoder_id = encoder_id

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._embeddings.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored dtype: float16 or float32."""
        return self._embeddings.dtype

    @property
    def embedding_attributes(self) -> dict[str, Any]:
        """What the writer of the embeddings recorded."""
        return self._embeddings.attributes

    @property
    def block_rows(self) -> int:
        """Rows that are read at once: whole chunks of the archive, about `BLOCK_BYTES`."""
        chunk_bytes = CHUNK_ROWS * self.dim * self.dtype.itemsize
        return CHUNK_ROWS * max(1, min(BLOCK_ROWS // CHUNK_ROWS, BLOCK_BYTES // chunk_bytes))

    def read(self, start: int = 0, stop: int | None = None, dtype: DTypeLike | None = None) -> Rows:
        """Read kept rows `start` to `stop`, `(n, D)`, as `dtype` or as stored."""
        wanted = self.rows[slice(start, stop)]
        kind = np.dtype(self.dtype if dtype is None else dtype)
        if not len(wanted):
            return np.empty((0, self.dim), kind)
        first, last, step = int(wanted[0]), int(wanted[-1]) + 1, self.block_rows
        if last - first == len(wanted) <= step and kind == self.dtype:
            return self._embeddings.read(first, last)
        out = np.empty((len(wanted), self.dim), kind)
        for begin in range(first, last, step):  # rows left out may lie between, many of them
            end = min(begin + step, last)
            low, high = np.searchsorted(wanted, (begin, end))
            if low == high:
                continue
            values = self._embeddings.read(begin, end)
            kept = values if high - low == len(values) else values[wanted[low:high] - begin]
            _convert(kept, out[low:high])
        return out

    def blocks(self, rows: int | None = None, dtype: DTypeLike | None = None) -> Iterator[Rows]:
        """Read all kept rows in order; every block but the last has `rows` rows.

        Args:
            rows: `block_rows` where none are asked for.
            dtype: of the blocks; the stored one where none is asked for.
        """
        step = rows or self.block_rows
        return (self.read(start, start + step, dtype) for start in range(0, len(self), step))


def _convert(values: Rows, out: Rows) -> None:
    """Copy rows; to half precision by torch, which rounds alike and ten times as fast as NumPy."""
    if values.dtype != np.float32 or out.dtype != np.float16:
        out[:] = values
        return
    import torch

    half, single = torch.from_numpy(out.reshape(-1)), torch.from_numpy(values.reshape(-1))
    for start in range(0, out.size, ONE_THREAD):
        half[start : start + ONE_THREAD] = single[start : start + ONE_THREAD]


def _embeddings(store: PatchStore, encoder_id: str) -> Embeddings:
    try:
        return Embeddings(store, encoder_id)
    except StoreError as err:
        raise BagError(f"{err}; run `microtome embed`, or ask for another --encoder") from err


def _card(embeddings: Embeddings) -> EncoderCard:
    try:
        return EncoderCard.model_validate(embeddings.attributes["card"])
    except (KeyError, ValueError) as err:
        raise BagError(
            f"the embeddings {embeddings.encoder_id!r} have no valid card: {err}"
        ) from err
