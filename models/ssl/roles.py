"""Which keys are positives and which are left out: the rows of METHODS 4.3."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.contrast import Removed
from models.ssl.keys import Keys, Queries
from models.ssl.selection import Selection, describe, same_slide


class Roles(NamedTuple):
    """What keys are to queries, as `models.losses.contrast` takes it.

    Attributes:
        positives: indices of keys, the own one first, -1 for none, int64 `(b, P)`.
        removed: gives the keys that are not in the sum.
        drops: keys were removed that are negatives otherwise, so none may be left.
        metrics: scalars to log.
    """

    positives: Tensor
    removed: Removed
    drops: bool
    metrics: dict[str, Tensor]


def plain(queries: Queries, keys: Keys) -> Roles:
    """Give the plain loss: the own key is the only positive, and all others are negatives."""
    return Roles(queries.own[:, None], _hidden(queries, keys), drops=False, metrics={})


def promote(queries: Queries, keys: Keys, selection: Selection) -> Roles:
    """Make selected keys positives beside the own one."""
    positives = torch.cat([queries.own[:, None], selection.chosen], dim=1)
    return Roles(
        positives, _hidden(queries, keys), drops=False, metrics=describe(selection, queries, keys)
    )


def remove(queries: Queries, keys: Keys, selection: Selection) -> Roles:
    """Leave selected keys out of the sum."""
    hidden = _hidden(queries, keys)

    def removed(rows: slice) -> Tensor:
        return _join(_marked(selection.chosen[rows], len(keys.rows.patch)), hidden(rows))

    return Roles(
        queries.own[:, None], removed, drops=True, metrics=describe(selection, queries, keys)
    )


def remove_slide(queries: Queries, keys: Keys) -> Roles:
    """Leave all keys of the query's own slide out of the sum, but for its own key."""
    hidden = _hidden(queries, keys)

    def removed(rows: slice) -> Tensor:
        alike = same_slide(queries, keys, rows).scatter_(1, queries.own[rows, None], value=False)
        return _join(alike, hidden(rows))

    return Roles(queries.own[:, None], removed, drops=True, metrics={})


def _hidden(queries: Queries, keys: Keys) -> Removed:
    return lambda rows: keys.hidden(queries.rows.patch[rows])


def _marked(chosen: Tensor, count: int) -> Tensor:
    """Turn indices (r, S), -1 for none, into a mask (r, count)."""
    mask = torch.zeros(len(chosen), count + 1, dtype=torch.bool, device=chosen.device)
    return mask.scatter_(1, chosen.remainder(count + 1), value=True)[:, :count]


def _join(removed: Tensor, hidden: Tensor | None) -> Tensor:
    return removed if hidden is None else removed | hidden
