"""What a run has to do and may do, decided before any work. Knows no torch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from models.embedding.setting import Setting, Wanted
from models.encoders.card import EncoderCard
from models.errors import MismatchError
from tiling.embeddings import GROUP, Embeddings
from tiling.errors import ConflictError, StoreError, TilingError
from tiling.store import DOCUMENT, Archive, PatchStore

SHOWN = 5
"""Problems that are spelled out; the rest is counted."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        encoder_id: name of the embeddings in the archive.
        card: of the encoder.
        dtype: f2 or f4.
        wanted: number format of the computation.
        force: embed patches that the encoder was not made for.
        overwrite: replace other embeddings of this name.
    """

    encoder_id: str
    card: EncoderCard
    dtype: str
    wanted: Wanted = "auto"
    force: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class SlideWork:
    """A slide to embed: number of patches, what was forced, and a mark of what it is now."""

    slide_id: str
    count: int
    forced: tuple[str, ...]
    mark: object


@dataclass(frozen=True)
class Planned:
    """A run.

    Attributes:
        todo: slides to embed.
        skipped: slides that have these embeddings already, and their number of patches.
        recorded: the setting of those that are there, which the others take over.
    """

    todo: tuple[SlideWork, ...]
    skipped: dict[str, int] = field(default_factory=dict)
    recorded: Setting | None = None


def plan_run(archive: Archive, slide_ids: Sequence[str], request: Request) -> Planned:
    """Separate what is to be embedded from what is there already.

    Raises:
        ConflictError: other embeddings have this name, and `overwrite` is off.
        MismatchError: patches are not what the encoder was made for, and `force` is off.
        StoreError: patches are no 8-bit RGB.
    """
    asked = set(slide_ids)
    there = [s for s in archive.slide_ids() if _holds(archive, s, request.encoder_id)]
    why = {slide_id: _why_conflict(archive[slide_id], request) for slide_id in there}
    _refuse_conflicts(archive, {s: reason for s, reason in why.items() if reason}, asked, request)
    skipped = {s: len(archive[s]) for s in there if s in asked and why[s] is None}
    todo = [_work(archive[s], request) for s in slide_ids if s not in skipped]
    same = [slide_id for slide_id in there if why[slide_id] is None]
    return Planned(tuple(todo), skipped, _recorded(archive, same, request))


def mark(store: PatchStore) -> object:
    """Tell a slide from another one that takes its place."""
    known = store.attributes
    return known.get("config_hash"), known.get("source"), len(store)


def why_conflict(archive: Archive, slide_id: str, request: Request) -> str | None:
    """Say how committed embeddings differ from what is asked for; None where they do not."""
    return _why_conflict(archive[slide_id], request)


def is_committed(archive: Archive, slide_id: str, encoder_id: str) -> bool:
    """Whether the slide has embeddings of this name."""
    return _holds(archive, slide_id, encoder_id)


def _holds(archive: Archive, slide_id: str, encoder_id: str) -> bool:
    return archive.storage.exists(f"{slide_id}/{GROUP}/{encoder_id}/{DOCUMENT}")


def _why_conflict(store: PatchStore, request: Request) -> str | None:
    try:
        found = Embeddings(store, request.encoder_id)
        card = EncoderCard.model_validate(found.attributes.get("card"))
    except (TilingError, ValidationError) as err:
        log.debug("embeddings of %s", store.slide_id, exc_info=err)
        return f"{store.slide_id}: they are damaged, or of unknown origin"
    if card.identity != request.card.identity:
        return f"{store.slide_id}: {_difference(card, request.card)}"
    if found.plan.dtype != request.dtype:
        return f"{store.slide_id}: they are {found.dtype}"
    setting = Setting.recorded(found.attributes.get("settings", {}))
    if setting and request.wanted not in ("auto", setting.precision):
        return f"{store.slide_id}: they were computed in {setting.precision}"
    return None


def _difference(one: EncoderCard, other: EncoderCard) -> str:
    ours, theirs = one.document(), other.document()
    ignored = {"versions", "data", "method", "weights"}
    names = sorted(name for name in ours.keys() - ignored if ours[name] != theirs[name])
    return f"they are of another encoder ({', '.join(names)} differ)"


def _refuse_conflicts(
    archive: Archive, reasons: dict[str, str], asked: set[str], request: Request
) -> None:
    if request.overwrite:
        reasons = {slide_id: why for slide_id, why in reasons.items() if slide_id not in asked}
    if not reasons:
        return
    advice = "give another --name"
    advice += ", or leave out --slide" if request.overwrite else ", or replace them: --overwrite"
    raise ConflictError(
        f"{archive.location} holds other embeddings named {request.encoder_id}: "
        f"{_listed(list(reasons.values()))}; {advice}"
    )


def _work(store: PatchStore, request: Request) -> SlideWork:
    document = store.document("patches")
    if document["data_type"] != "uint8" or document["shape"][-1] != 3:
        raise StoreError(
            f"{store.slide_id}: its patches are {document['data_type']} with "
            f"{document['shape'][-1]} channels; encoders take 8-bit RGB"
        )
    known = store.attributes
    mpp = [value for value in known.get("mpp_effective", ()) if value]
    mean = sum(mpp) / len(mpp) if mpp else None
    try:
        forced = request.card.require_match(mean, document["shape"][1], force=request.force)
    except MismatchError as err:
        raise MismatchError(f"{store.slide_id}: {err}") from err
    return SlideWork(store.slide_id, len(store), tuple(forced), mark(store))


def _recorded(archive: Archive, slide_ids: list[str], request: Request) -> Setting | None:
    for slide_id in slide_ids:
        settings = Embeddings(archive[slide_id], request.encoder_id).attributes.get("settings", {})
        found = Setting.recorded(settings)
        if found is not None:
            return found
    return None


def _listed(sentences: list[str]) -> str:
    more = f"; and {len(sentences) - SHOWN} more" if len(sentences) > SHOWN else ""
    return "; ".join(sentences[:SHOWN]) + more
