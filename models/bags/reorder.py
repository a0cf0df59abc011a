"""Rows of a bag in another order; a large one goes by way of a scratch file, and not memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Bag, Rows

IN_MEMORY_BYTES = 192 << 20
"""A bag up to this large is reordered in memory, which is faster: 30,000 rows of 1,536 floats."""


def reordered(
    bag: Bag, order: NDArray[np.int64], dtype: np.dtype[Any], scratch: Path
) -> Iterator[Rows]:
    """Give rows `order[0], order[1], ...` of a bag in blocks.

    Args:
        bag: n rows.
        order: `(k,)` indices of kept rows, each below n.
        dtype: of what is given.
        scratch: a file that does not exist; where the bag is too large for memory, it becomes as
            large as the bag, and is removed at the end.
    """
    if len(bag) * bag.dim * dtype.itemsize <= IN_MEMORY_BYTES:
        values = bag.read(dtype=dtype)
        yield from (values[order[i : i + bag.block_rows]] for i in _starts(order, bag))
        return
    try:
        with scratch.open("w+b") as file:
            for block in bag.blocks(dtype=dtype):
                file.write(block.data)
            file.flush()
            for start in _starts(order, bag):
                yield _gather(file.fileno(), order[start : start + bag.block_rows], bag.dim, dtype)
    finally:
        scratch.unlink(missing_ok=True)


def _starts(order: NDArray[np.int64], bag: Bag) -> range:
    return range(0, len(order), bag.block_rows)


def _gather(file: int, rows: NDArray[np.int64], dim: int, dtype: np.dtype[Any]) -> Rows:
    """Read single rows; mapping the file instead would count as memory."""
    made = np.empty((len(rows), dim), dtype)
    width = dim * dtype.itemsize
    for row, index in zip(made, rows.tolist(), strict=True):
        os.preadv(file, [row.data], index * width)
    return made
