"""One epoch of a sampler: seed, ranks and resuming, the same for all in `tiling.sampling`.

The contract, in the words of `epoch_order`:

1. the global order is drawn from (seed, epoch) alone: no rank, no position enters;
2. the first `consumed` items of it are done; they were done by all ranks together;
3. of the rest, rank r of W takes items r, r + W, r + 2W, ...; the last `len % W` are left out, so
   ranks have equal lengths and no item in common.

An item is an index, or a whole batch where the sampler draws batches. A run of W ranks that has
done n steps of b items each has consumed n * b * W items; it may resume with another W.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
"""Indices of patches, (M,), or of batches of them, (B, size)."""

Draw = Callable[[np.random.Generator], Indices]
"""Draws the global order of one epoch."""


class Position(NamedTuple):
    """Where a run stands."""

    epoch: int
    """Counted from 0."""
    consumed: int
    """Items of this epoch that all ranks together have consumed."""


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator of one epoch: PCG64 seeded with the sequence (seed, epoch)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch))))


def epoch_order(
    draw: Draw, *, seed: int, epoch: int, rank: int = 0, world_size: int = 1, consumed: int = 0
) -> Indices:
    """Return what one rank has still to do in one epoch.

    Args:
        draw: a sampler bound to its arrays: `lambda rng: balanced(slides, rng)`.
        seed: of the run.
        epoch: counted from 0.
        rank: of this process, 0 to world_size - 1.
        world_size: number of processes.
        consumed: items of this epoch that all ranks together have consumed.
    """
    order = draw(epoch_generator(seed, epoch))
    if not 0 <= consumed <= len(order):
        raise ValueError(f"consumed must be from 0 to {len(order)}, got {consumed}")
    return rank_slice(order[consumed:], rank, world_size)


def rank_slice(order: Indices, rank: int, world_size: int) -> Indices:
    """Return items rank, rank + W, ... of an order that is cut to a multiple of W."""
    if world_size < 1 or not 0 <= rank < world_size:
        raise ValueError(f"rank must be from 0 to world_size - 1, got {rank} of {world_size}")
    return order[: len(order) // world_size * world_size][rank::world_size]


def locate(consumed: int, per_epoch: int) -> Position:
    """Return where a run stands after so many items in all, of so many per epoch."""
    if per_epoch < 1 or consumed < 0:
        raise ValueError(f"need at least 1 item per epoch, got {per_epoch}, consumed {consumed}")
    return Position(*divmod(consumed, per_epoch))
