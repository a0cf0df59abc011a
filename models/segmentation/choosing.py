"""Which patches a training of METHODS 10 sees, and which ones judge it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data import JoinedPatches, PatchDataset
from models.encoders.card import MPP_TOLERANCE
from models.errors import DataError
from models.segmentation.layers import about_masks, layers_of
from models.segmentation.patches import TRUE_MASKS, MaskedPatches
from tiling.store import Archive

TRAIN = "train"

Part = PatchDataset | MaskedPatches


@dataclass(frozen=True)
class Learned:
    """Patches of archives, of some slides each.

    Attributes:
        patches: of all archives together.
        classes: names, where patches have labels or masks have names.
        white: whether white pixels are background in pseudo masks.
    """

    patches: JoinedPatches
    classes: tuple[str, ...]
    white: bool = True

    @property
    def mpp(self) -> float | None:
        """Microns per pixel of the patches; None where one is not known, or they differ."""
        values = np.array([np.nan if s.mpp is None else s.mpp for s in self.patches.slides])
        middle = float(np.median(values))
        return middle if (np.abs(values / middle - 1) <= MPP_TOLERANCE).all() else None

    def document(self) -> dict[str, Any]:
        """Count them, as JSON values."""
        slides = self.patches.slides
        return {
            "patches": len(self.patches),
            "slides": len(slides),
            "patients": len({slide.patient or slide.slide_id for slide in slides}),
            "patch_px": self.patches.patch_shape[0],
            "mpp": self.mpp,
        }


def open_labelled(archives: Sequence[str], split: str | None) -> Learned:
    """Open the patches that a classifier learns from.

    Args:
        archives: locations.
        split: slides of it; None for those of the split train, or all where there is none.

    Raises:
        DataError: no slide is of the split, or patches do not fit together.
        StoreError: there is no such archive.
    """
    chosen = slides_of(archives, split)
    parts = [PatchDataset(archive, slides) for archive, slides in chosen.items()]
    patches = _joined(parts)
    return Learned(patches, patches.label_names)


def open_masked(
    archives: Sequence[str], split: str | None, masks: Sequence[str]
) -> tuple[Learned, tuple[str, ...]]:
    """Open patches with masks; also give the names of their arrays, the most trusted first.

    Args:
        archives: locations.
        split: as for `open_labelled`.
        masks: name of pseudo masks, whose layers are taken, or names of arrays.

    Raises:
        LabelsError: a slide has no such masks.
        DataError: no slide is of the split, masks are of another size, or patches do not fit.
    """
    chosen = slides_of(archives, split)
    arrays = {one: layers_of(Archive.open(one)[slides[0]], masks) for one, slides in chosen.items()}
    layers, *others = set(arrays.values())
    if others:
        raise DataError(f"archives have masks of other layers: {layers} and {others[0]}")
    patches = _joined(
        [MaskedPatches(PatchDataset(one, slides), one, layers) for one, slides in chosen.items()]
    )
    first, slides = next(iter(chosen.items()))
    about = about_masks(Archive.open(first)[slides[0]], layers[0]) or {}
    return Learned(patches, patches.label_names, bool(about.get("white", True))), layers


def open_judging(archives: Sequence[str], split: str) -> Learned | None:
    """Open patches with true masks that judge; None where no slide is of the split with masks."""
    chosen: list[Part] = []
    for archive in archives:
        opened = Archive.open(archive)
        slides = [
            name
            for name in _of_split(archive, split)
            if about_masks(opened[name], TRUE_MASKS[0]) is not None
        ]
        if slides:
            chosen.append(MaskedPatches(PatchDataset(archive, slides), archive))
    if not chosen:
        return None
    patches = _joined(chosen)
    return Learned(patches, patches.label_names)


def slides_of(archives: Sequence[str], split: str | None) -> dict[str, list[str]]:
    """Give the slides of each archive that has some of the split, or all where none is named.

    Raises:
        DataError: no slide is of the split.
    """
    found = {archive: _of_split(archive, split or TRAIN) for archive in archives}
    if split is None and not any(found.values()):
        found = {
            archive: [s.slide_id for s in Archive.open(archive).stores()] for archive in archives
        }
    chosen = {archive: slides for archive, slides in found.items() if slides}
    if not chosen:
        raise DataError(
            f"no slide of {', '.join(archives)} is of the split {split or TRAIN!r}; name another "
            "with --split"
        )
    return chosen


def _of_split(archive: str, split: str) -> list[str]:
    slides = PatchDataset(archive, labels=False).slides
    return [slide.slide_id for slide in slides if slide.split == split]


def _joined(parts: Sequence[Part]) -> JoinedPatches:
    patches = JoinedPatches(parts)
    height, width, channels = patches.patch_shape
    if patches.dtype != np.uint8 or channels != 3 or height != width:
        raise DataError(
            "tissue is learned from square 8-bit RGB patches; these are "
            f"{patches.dtype} {patches.patch_shape}"
        )
    return patches
