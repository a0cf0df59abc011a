"""Bags whose embeddings are in memory, for models of bags that read from an archive elsewhere."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.bags.bag import Bag, Rows
from models.bags.patches import Patches
from models.encoders import EncoderCard
from tiling.store import PatchStore

NO_CARD = EncoderCard(
    name="none",
    method="none",
    architecture="none",
    weights="none",
    weights_sha256="",
    input_px=1,
    dim=1,
    layer="last",
)
"""Of bags before they are embedded, whose labels and sizes alone are asked for."""


class MemoryBag(Bag):
    """A bag whose rows are given, not read.

    Args:
        store: the slide.
        values: of its readable patches, (n, D).
        card: of the encoder.
    """

    def __init__(self, store: PatchStore, values: NDArray[np.float32], card: EncoderCard) -> None:
        Patches.__init__(self, store)
        self.card, self.encoder_id = card, card.encoder_id
        self._values = values

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self._values.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the values are of."""
        return self._values.dtype

    def read(self, start: int = 0, stop: int | None = None, dtype: DTypeLike | None = None) -> Rows:
        """Give rows `start` to `stop`, (n, D)."""
        return self._values[start:stop].astype(self.dtype if dtype is None else dtype, copy=False)
