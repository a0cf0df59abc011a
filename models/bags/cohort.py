"""The slides of an export, checked together before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.bags.bag import Bag
from models.bags.names import require_csv_names, require_distinct_stems
from models.encoders.card import EncoderCard
from models.errors import BagError
from tiling.embeddings import embedding_ids
from tiling.store import Archive


@dataclass(frozen=True)
class Selection:
    """Slides to export.

    Attributes:
        bags: those that have embeddings of the encoder, by ID.
        missing: IDs of those that have none.
        card: of the encoder, the same for all.
    """

    bags: tuple[Bag, ...]
    missing: tuple[str, ...]
    card: EncoderCard

    @property
    def patches(self) -> int:
        """Rows of all bags."""
        return sum(map(len, self.bags))


def select_bags(
    archive: Archive,
    encoder_id: str,
    slide_ids: Sequence[str],
    *,
    keep_unreadable: bool = False,
    prefix: str = "",
) -> Selection:
    """Open the bags of slides, all of one encoder.

    Raises:
        BagError: no slide has embeddings of the encoder, all bags are empty, slides were embedded
            with different weights under one name, or two names are one file.
    """
    known = {name: embedding_ids(archive[name]) for name in slide_ids}
    there = [name for name in slide_ids if encoder_id in known[name]]
    if not there:
        others = ", ".join(sorted({one for found in known.values() for one in found})) or "none"
        raise BagError(
            f"{archive.location} has no embeddings of {encoder_id!r}; there are: {others}"
        )
    bags = tuple(
        Bag(archive[name], encoder_id, keep_unreadable=keep_unreadable, prefix=prefix)
        for name in there
    )
    _require_one_encoder(bags)
    require_distinct_stems(bag.name for bag in bags)
    if not any(map(len, bags)):
        raise BagError(f"nothing to export: no patch is left in {', '.join(there[:5])}")
    missing = tuple(name for name in slide_ids if name not in there)
    return Selection(bags, missing, bags[0].card)


def require_csv_ids(bags: Sequence[Bag]) -> None:
    """Refuse slides and patients whose IDs a CSV turns into something else.

    Raises:
        BagError: there are such IDs.
    """
    require_csv_names([name for bag in bags for name in (bag.name, bag.patient)])


def _require_one_encoder(bags: Sequence[Bag]) -> None:
    first = bags[0]
    for bag in bags:
        if bag.card.identity != first.card.identity:
            raise BagError(
                f"{first.slide_id} and {bag.slide_id} were embedded by different encoders of one "
                f"name, {bag.encoder_id!r}; embed them again, or export them apart with --slide"
            )
