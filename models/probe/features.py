"""Stored embeddings of chosen patches, in memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoders.card import EncoderCard
from models.errors import EncoderError, NumericsError
from models.probe.cases import Cases, Indices
from tiling.embeddings import Embeddings, embedding_ids
from tiling.store import Archive


@dataclass(frozen=True)
class Features:
    """Embeddings of n rows.

    Attributes:
        encoder_id: name of the embeddings in the archive.
        rows: of `Cases`, sorted, (n,).
        values: float32 (n, D).
        card: what made them.
    """

    encoder_id: str
    rows: Indices
    values: NDArray[np.float32]
    card: EncoderCard

    def of(self, rows: Indices) -> NDArray[np.float32]:
        """Embeddings of some of the rows, in the order asked for, (m, D)."""
        return self.values[np.searchsorted(self.rows, rows)]


def read_features(archive: Archive, cases: Cases, encoder_id: str, rows: Indices) -> Features:
    """Read the embeddings of some rows, which take 4 D bytes each.

    Raises:
        EncoderError: not every slide has embeddings of this encoder, or they are of several.
        NumericsError: some are not finite.
    """
    values: NDArray[np.float32] | None = None
    cards: dict[str, EncoderCard] = {}
    for slide_id, places, indices in cases.by_slide(rows):
        stored = open_embeddings(archive, slide_id, encoder_id)
        card = card_of(stored.attributes, encoder_id)
        cards[card.identity] = card
        _require_one(cards, encoder_id)
        if values is None:
            values = np.empty((len(rows), stored.dim), np.float32)
        values[places] = _rows_of(stored, indices)
    if values is None:
        raise ValueError("need at least one row")
    bad = int((~np.isfinite(values)).any(axis=1).sum())
    if bad:
        raise NumericsError(f"{bad:,} embeddings of {encoder_id} are NaN or infinite; embed again")
    return Features(encoder_id, rows, values, next(iter(cards.values())))


def open_embeddings(archive: Archive, slide_id: str, encoder_id: str) -> Embeddings:
    """Open one slide's embeddings.

    Raises:
        EncoderError: there are none of this encoder; names those that there are.
    """
    store = archive[slide_id]
    known = embedding_ids(store)
    if encoder_id not in known:
        raise EncoderError(
            f"{slide_id} has no embeddings of {encoder_id!r}; there are: "
            f"{', '.join(known) or 'none'}; make them with: microtome embed"
        )
    return Embeddings(store, encoder_id)


def card_of(attributes: dict[str, Any], encoder_id: str) -> EncoderCard:
    """Read the card among the attributes of embeddings.

    Raises:
        EncoderError: there is none.
    """
    try:
        return EncoderCard.model_validate(attributes["card"])
    except (KeyError, ValueError) as err:
        raise EncoderError(f"the embeddings {encoder_id} have no readable card: {err}") from err


def _rows_of(stored: Embeddings, indices: Indices) -> NDArray[np.float32]:
    """Rows of one slide, read in blocks so that only what is wanted is held."""
    block = 8192
    wanted = np.empty((len(indices), stored.dim), np.float32)
    for start in range(0, len(stored), block):
        inside = np.flatnonzero((indices >= start) & (indices < start + block))
        if len(inside):
            wanted[inside] = stored.read(start, start + block)[indices[inside] - start]
    return wanted


def _require_one(cards: dict[str, EncoderCard], encoder_id: str) -> None:
    if len(cards) > 1:
        told = " and ".join(card.weights for card in cards.values())
        raise EncoderError(
            f"the slides' embeddings {encoder_id} are of different encoders (weights {told}); "
            "embed all slides with one"
        )
