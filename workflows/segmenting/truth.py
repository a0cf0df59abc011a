"""Patches with true masks for scoring: which slides, whose they are, and whether they fit."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.data import PatchDataset
from models.errors import DataError, MismatchError
from models.segmentation.card import TissueCard
from models.segmentation.choosing import splits_of
from models.segmentation.patches import MaskedPatches
from workflows.errors import UsageError
from workflows.units import plural


@dataclass
class Truth:
    """The patches of one archive.

    Attributes:
        location: of the archive.
        patches: without masks, for what is known of slides and labels.
        masked: the same with masks.
        notes: what a person should know.
        forced: what differs from the models' cards, and was let through.
    """

    location: str
    patches: PatchDataset
    masked: MaskedPatches
    notes: list[str] = field(default_factory=list)
    forced: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of patches."""
        return len(self.patches)

    @property
    def side_px(self) -> int:
        """Side of every patch."""
        return self.patches.patch_shape[0]

    @property
    def patients(self) -> list[str]:
        """Patient of each slide; the slide itself where nobody knows."""
        return [slide.patient or slide.slide_id for slide in self.patches.slides]


def open_truth(
    location: str, cards: Sequence[TissueCard], *, split: str | None, force: bool
) -> Truth:
    """Open an archive, and refuse what models cannot be scored on.

    Args:
        location: of the archive.
        cards: of the models.
        split: of the slides that are taken; None takes all.
        force: let another resolution or size of patches through.

    Raises:
        StoreError: there is no archive.
        LabelsError: there are no masks.
        DataError: slides do not fit together, or masks their patches.
        MismatchError: classes, resolution or size are not the models'.
    """
    patches = PatchDataset(location, slides_of(location, split) if split else None)
    if patches.dtype != np.uint8 or patches.patch_shape[-1] != 3:
        raise DataError(
            f"models take 8-bit RGB patches; those of {location} are {patches.dtype} "
            f"{patches.patch_shape}"
        )
    found = Truth(location, patches, MaskedPatches(patches, location))
    for card in cards:
        found.forced += _require_fit(found, card, force=force)
    found.notes += _notes(found, cards[0])
    return found


def with_split(locations: Sequence[str], split: str | None) -> list[str]:
    """Give the archives that have slides of a split; all where none is asked for.

    Raises:
        UsageError: none has any.
    """
    if split is None:
        return list(locations)
    chosen = [location for location in locations if slides_of(location, split)]
    if not chosen:
        splits = {name for one in locations for name in splits_of(one).values()} - {""}
        raise UsageError(
            f"no slide of {', '.join(locations)} is of split {split!r}; it has "
            f"{', '.join(sorted(splits)) or 'none'}"
        )
    return chosen


def slides_of(location: str, split: str) -> list[str]:
    """Give the slides of an archive that are of a split."""
    return [slide for slide, name in splits_of(location).items() if name == split]


def _require_fit(truth: Truth, card: TissueCard, *, force: bool) -> list[str]:
    """Refuse patches that a model does not know; gives what was forced."""
    names = truth.patches.label_names
    if names:
        card.require_classes(names, truth.location)
    told = []
    for mpp in sorted({slide.mpp for slide in truth.patches.slides if slide.mpp}):
        told += card.require_mpp(mpp, force=force)
    if truth.side_px != card.patch_px:
        sentence = f"the patches have {truth.side_px} px, {card.name} learned from {card.patch_px}"
        if not force:
            raise MismatchError(f"{sentence}; import them at that size, or use --force")
        told.append(sentence)
    return told


def _notes(truth: Truth, card: TissueCard) -> list[str]:
    slides, notes = truth.patches.slides, []
    nameless = sum(not slide.patient for slide in slides)
    if nameless:
        notes.append(
            f"{plural(nameless, 'slide')} of {truth.location} without a patient, each counted as "
            "one of its own"
        )
    if not truth.patches.label_names:
        notes.append(
            f"{truth.location} does not name its classes; masks are read as {_numbered(card)}"
        )
    if card.mpp and not all(slide.mpp for slide in slides):
        notes.append(
            f"{truth.location} does not say its resolution; {card.name} wants {card.mpp:.4g} um/px"
        )
    return notes


def _numbered(card: TissueCard) -> str:
    named = [f"{number} {name}" for number, name in enumerate(card.classes)]
    return ", ".join([*named, f"{len(named)} background"])
