"""Which keys are likely of the same tissue as a query: the most similar of a pool (METHODS 4.2)."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.blocks import by_blocks
from models.losses.precision import full_precision, widen
from models.ssl.keys import Keys, Queries
from models.ssl.settings import Pool

NONE = -1
"""Index that stands for no key."""


class Selection(NamedTuple):
    """Selected keys of b queries, at most S of each; they carry no gradient.

    Attributes:
        chosen: indices of keys, most similar first, `NONE` for none, int64 `(b, S)`.
        cosine: similarity of each, 0 where there is none, `(b, S)`.
    """

    chosen: Tensor
    cosine: Tensor


@torch.no_grad()
def select(
    queries: Queries,
    keys: Keys,
    count: int,
    *,
    pool: Pool = "any",
    threshold: float | None = None,
    block: int | None = None,
) -> Selection:
    """Give R_S(i; C) of each query: the S highest-cosine members of its candidates C(i).

    Ties go to the lower index; where there are fewer than S candidates all are taken. The own key
    and what the queue hides are no candidates.

    Args:
        queries: b of them.
        keys: M of them.
        count: S, the most that are selected.
        pool: candidates: any key, those of the query's slide, or those of other slides.
        threshold: least cosine of what is selected; above 1 none is, from -1 on all are.
        block: queries at a time; by default as many as fit into memory.
    """
    with full_precision(queries.rows.vectors):
        vectors, others = widen(queries.rows.vectors), widen(keys.rows.vectors)

        def compute(rows: slice) -> tuple[Tensor, Tensor]:
            cosines = vectors[rows] @ others.T  # (r, M)
            out = ~_candidates(queries, keys, pool, rows)
            return _highest(cosines.masked_fill_(out, _OUT), count)

        chosen, cosine = by_blocks(compute, len(vectors), len(others), block)
    if threshold is not None:
        # rounding puts cosines a little beyond 1, which a threshold must not see
        low = cosine.clamp(-1, 1) < threshold
        chosen, cosine = chosen.masked_fill(low, NONE), cosine.masked_fill(low, 0)
    return Selection(chosen, cosine)


_OUT = -torch.inf


def _candidates(queries: Queries, keys: Keys, pool: Pool, rows: slice) -> Tensor:
    """Give C(i) of the queries of a slice, bool (r, M)."""
    patch, own = queries.rows.patch[rows], queries.own[rows]
    hidden = keys.hidden(patch)
    if pool == "any":
        found = torch.ones(len(own), len(keys.rows.slide), dtype=torch.bool, device=own.device)
    else:
        found = same_slide(queries, keys, rows)
        found = found if pool == "same_slide" else ~found
    if hidden is not None:
        found &= ~hidden
    return found.scatter_(1, own[:, None], value=False)


def same_slide(queries: Queries, keys: Keys, rows: slice) -> Tensor:
    """Say which keys are of the slide of the queries of a slice, bool (r, M)."""
    return queries.rows.slide[rows, None] == keys.rows.slide


def _highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Give indices and values of the `count` highest of each row; changes `scores`, (r, M)."""
    chosen = torch.full((len(scores), count), NONE, device=scores.device)
    values = scores.new_zeros(len(scores), count)
    for place in range(min(count, scores.shape[1])):
        best = scores.max(dim=1)  # of equal ones it gives the first, as topk does not promise
        there = best.values > _OUT
        chosen[:, place] = torch.where(there, best.indices, NONE)
        values[:, place] = torch.where(there, best.values, 0)
        scores.scatter_(1, best.indices[:, None], _OUT)
    return chosen, values


def describe(selection: Selection, queries: Queries, keys: Keys) -> dict[str, Tensor]:
    """Give the metrics of a selection (METHODS 4.3): scalars, 0 where nothing is selected.

    selected: mean number per query. selected_cosine: mean similarity of the selected keys.
    selected_same_slide: share of them that is of the query's own slide.
    """
    there = selection.chosen != NONE
    total = there.sum().clamp(min=1)
    alike = keys.rows.slide[selection.chosen.clamp(min=0)] == queries.rows.slide[:, None]
    return {
        "selected": there.sum() / max(1, len(there)),
        "selected_cosine": selection.cosine.sum() / total,
        "selected_same_slide": (alike & there).sum() / total,
    }
