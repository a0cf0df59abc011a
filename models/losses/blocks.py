"""Compute rows of a large matrix in blocks, so that never the whole of it is held.

Of Q queries and M keys all (Q, M) logits may not fit. Rows are independent of each other, so a
block of them is computed, reduced and dropped; for the gradient it is computed once more.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BYTES_PER_LOGIT = 24
"""Held at most at a time for a float32 logit, forwards and backwards; a test measures it."""
BUDGET_BYTES = 2**30
"""Memory that logits may take (our choice): 45 million, such as 1,024 queries and 43,000 keys."""

RowsOf = Callable[[slice], tuple[Tensor, ...]]


def rows_per_block(columns: int, budget_bytes: int = BUDGET_BYTES) -> int:
    """Say how many rows of so many columns fit into a budget, at least one."""
    return max(1, budget_bytes // (BYTES_PER_LOGIT * max(1, columns)))


def by_blocks(compute: RowsOf, rows: int, columns: int, block: int | None) -> tuple[Tensor, ...]:
    """Compute rows in blocks, and join what is found.

    Gradients are those of the whole: where there are several blocks, each is computed again in
    the backward pass (Chen, Xu, Zhang, Guestrin, Training Deep Nets with Sublinear Memory Cost,
    2016, arXiv 1604.06174).

    Args:
        compute: gives tensors of one row each, (r, ...), for the rows of a slice; the same for
            the same slice.
        rows: of the matrix, Q.
        columns: of the matrix, M.
        block: rows at a time; by default as many as fit.
    """
    step = rows_per_block(columns) if block is None else block
    if step < 1:
        raise ValueError(f"block must be positive, got {block}; leave it out to choose it")
    if rows <= step:
        return compute(slice(0, rows))
    parts = [_again(compute, slice(at, min(at + step, rows))) for at in range(0, rows, step)]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _again(compute: RowsOf, rows: slice) -> tuple[Tensor, ...]:
    # nothing random is computed, so no generator's state need be kept
    found: Any = checkpoint(compute, rows, use_reentrant=False, preserve_rng_state=False)
    result: tuple[Tensor, ...] = found
    return result
