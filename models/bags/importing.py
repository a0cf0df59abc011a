"""Bags of another tool as embeddings of the same slides in an archive.

Rows of unreadable patches that the bag leaves out become NaN; all other patches must have one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bags.bag import Rows
from models.bags.matching import match_rows
from models.bags.patches import Patches
from models.bags.table import ForeignBag
from models.encoders.card import EncoderCard
from models.errors import BagError
from tiling.embeddings import EmbeddingPlan, array_key, commit, embedding_ids, put_shard
from tiling.store import PatchStore

STORED_AS = {"float16": "f2", "float32": "f4", "float64": "f4"}


def foreign_card(name: str, format_name: str, dim: int) -> EncoderCard:
    """Describe an encoder of which nothing is known but its bags; its input is then 0 px."""
    return EncoderCard(
        name=name,
        method="unknown",
        architecture="unknown",
        weights=f"imported:{format_name}",
        weights_sha256="",
        input_px=0,
        dim=dim,
        layer="last",
    )


def import_bag(
    foreign: ForeignBag,
    store: PatchStore,
    encoder_id: str,
    card: EncoderCard,
    about: Mapping[str, Any],
) -> int:
    """Store a bag's rows in the order of the slide's patches; gives how many rows were missing.

    Args:
        foreign: the bag.
        store: the slide that it is of.
        encoder_id: name of the embeddings in the archive.
        card: what made them.
        about: further attributes, JSON values.

    Raises:
        BagError: rows and patches do not fit, or the slide has embeddings of that name.
    """
    if encoder_id in embedding_ids(store):
        raise BagError(
            f"{store.slide_id} has embeddings {encoder_id!r} already; use another --name"
        )
    kind = STORED_AS.get(foreign.dtype.name)
    if kind is None or card.dim != foreign.dim:
        raise BagError(
            f"{foreign.name}: rows of {foreign.dim} x {foreign.dtype.name}, and not of {card.dim} "
            "floats"
        )
    rows = match_rows(foreign, Patches(store, keep_unreadable=True))
    plan = EmbeddingPlan(len(rows), foreign.dim, kind)
    key = array_key(store.slide_id, encoder_id)
    checksums: dict[str, list[int]] = {}
    for number in range(plan.shards):
        part = plan.rows(number)
        values = _take(foreign, rows[part.start : part.stop], np.dtype(plan.dtype))
        checksums |= put_shard(store.storage, key, plan, number, values)
    missing = int(np.count_nonzero(rows < 0))
    known = {"card": card.document(), "dtype": np.dtype(plan.dtype).name, "missing": missing}
    commit(store.storage, key, plan, known | dict(about) | {"checksums": checksums})
    return missing


def _take(foreign: ForeignBag, rows: NDArray[np.int64], dtype: np.dtype[Any]) -> Rows:
    """Read rows in any order; those that are missing (-1) are NaN."""
    made = np.full((len(rows), foreign.dim), np.nan, dtype)
    there = np.flatnonzero(rows >= 0)
    ascending = there[np.argsort(rows[there], kind="stable")]
    made[ascending] = foreign.take(rows[ascending])
    return made
