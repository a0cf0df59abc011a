"""Reads bags: rows of embeddings into memory, kept there as long as there is room."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import NumericsError
from models.mil.cohort import MilBag, SlideRow

Rows = NDArray[np.floating[Any]]
Floats = NDArray[np.float32]


class BagSource:
    """Reads the rows of bags.

    Bags that were read are kept, as stored, until `keep_bytes` are used up; later ones are read
    each time, since every epoch reads all of them and none would stay until it is wanted again.
    """

    def __init__(self, keep_bytes: int = 4 << 30) -> None:
        self._left = keep_bytes
        self._kept: dict[tuple[str, str], Rows] = {}

    def rows(self, bag: MilBag) -> Rows:
        """Read the rows of a bag, (n, D), as stored.

        Raises:
            NumericsError: an embedding is NaN or infinite.
            CorruptStoreError: what is stored is not what was written.
        """
        parts = [self._slide(row) for row in bag.slides if len(row.bag)]
        if not parts:
            return np.zeros((0, bag.slides[0].bag.dim), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def tensor(self, bag: MilBag) -> torch.Tensor:
        """Read a bag as float32, (n, D)."""
        return torch.from_numpy(np.array(self.rows(bag), np.float32))

    def _slide(self, row: SlideRow) -> Rows:
        key = (row.archive, row.slide_id)
        known = self._kept.get(key)
        if known is not None:
            return known
        rows = row.bag.read()
        _require_finite(row, rows)
        if rows.nbytes <= self._left:
            self._left -= rows.nbytes
            self._kept[key] = rows
        return rows


def _require_finite(row: SlideRow, rows: Rows) -> None:
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        patch = int(row.bag.rows[np.flatnonzero(bad)[0]])
        raise NumericsError(
            f"{row.slide_id}: embeddings {row.bag.encoder_id!r} of {int(bad.sum()):,} patches hold "
            f"NaN or infinity, the first is patch {patch}; embed the slide again"
        )


def pieces(
    bag: MilBag, values: NDArray[np.float32]
) -> Iterator[tuple[SlideRow, NDArray[np.float32]]]:
    """Cut values of a bag's patches, (..., n), into those of its slides."""
    start = 0
    for row in bag.slides:
        yield row, values[..., start : start + len(row.bag)]
        start += len(row.bag)
