"""Which patches a training of METHODS 10 sees, and which ones judge it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data import JoinedPatches, PatchDataset
from models.errors import DataError, LabelsError
from models.segmentation.layers import about_masks, layers_of, set_of
from models.segmentation.patches import TRUE_MASKS, MaskedPatches
from models.training.taught import common_mpp, describe_patches
from tiling.store import Archive, PatchStore

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
        return common_mpp(self.patches.slides)

    def document(self) -> dict[str, Any]:
        """Count them, as JSON values."""
        patches = self.patches
        return describe_patches(patches.slides, len(patches), patches.patch_shape[0])


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
    layers, white = _one_kind(_stores(chosen), masks)
    patches = _joined(
        [MaskedPatches(PatchDataset(one, slides), one, layers) for one, slides in chosen.items()]
    )
    return Learned(patches, patches.label_names, white), layers


def makers_of(archives: Sequence[str], split: str | None, masks: Sequence[str]) -> list[str]:
    """Give the hashes of the classifiers that made pseudo masks, sorted; none of true masks."""
    stores = _stores(slides_of(archives, split))
    known = (about_masks(s, layer) or {} for s in stores for layer in layers_of(s, masks))
    return sorted({about["classifier_sha256"] for about in known if "classifier_sha256" in about})


def taken_by(archives: Sequence[str], split: str | None, name: str) -> set[str]:
    """Give the hashes of the classifiers that made a set of pseudo masks, where there is any."""
    stores = _stores(slides_of(archives, split))
    known = [about for s in stores for about in set_of(s, name).values()]
    return {str(about["classifier_sha256"]) for about in known}


def _stores(chosen: Mapping[str, Sequence[str]]) -> list[PatchStore]:
    """Open the slides of each archive."""
    opened = {one: Archive.open(one) for one in chosen}
    return [opened[one][slide] for one, slides in chosen.items() for slide in slides]


def _one_kind(stores: Sequence[PatchStore], masks: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Give the arrays of masks, which all slides have from one maker, and whether white is out."""
    layers, *others = {layers_of(store, masks) for store in stores}
    if others:
        raise DataError(f"slides have masks of other layers: {layers} and {others[0]}")
    makers: dict[Any, str] = {}
    white = True
    for store in stores:
        for layer in layers:
            about = about_masks(store, layer)
            if about is None:
                raise LabelsError(f"{store.slide_id} has no masks {layer}")
            makers.setdefault(about.get("classifier_sha256"), store.slide_id)
            white = bool(about.get("white", True))
    if len(makers) > 1:
        raise DataError(
            f"masks {', '.join(layers)} of {' and '.join(makers.values())} were made by different "
            "classifiers; run `microtome segment pseudo-masks` again with --overwrite"
        )
    return layers, white


def open_judging(archives: Sequence[str], split: str) -> Learned | None:
    """Open patches with true masks that judge; None where no slide is of the split with masks."""
    chosen: list[Part] = []
    for archive in archives:
        opened = Archive.open(archive)
        named = [slide for slide, name in splits_of(archive).items() if name == split]
        slides = [s for s in named if about_masks(opened[s], TRUE_MASKS[0]) is not None]
        if slides:
            chosen.append(MaskedPatches(PatchDataset(archive, slides), archive))
    if not chosen:
        return None
    patches = _joined(chosen)
    return Learned(patches, patches.label_names)


def slides_of(archives: Sequence[str], split: str | None) -> dict[str, list[str]]:
    """Give the slides of each archive that has some of the split.

    Args:
        archives: locations.
        split: None for train, or for all slides where none is of any split.

    Raises:
        DataError: no slide is of the split.
    """
    splits = {archive: splits_of(archive) for archive in archives}
    known = {name for slides in splits.values() for name in slides.values()} - {""}
    wanted = split or (TRAIN if known else "")  # where nothing is split, all slides are taken
    found = {
        archive: [slide for slide, name in slides.items() if name == wanted]
        for archive, slides in splits.items()
    }
    chosen = {archive: slides for archive, slides in found.items() if slides}
    if not chosen:
        raise DataError(
            f"no slide of {', '.join(archives)} is of the split {wanted!r}; name another with "
            f"--split: there are {', '.join(sorted(known)) or 'none'}"
        )
    return chosen


def splits_of(archive: str) -> dict[str, str]:
    """Give the split of every slide; empty where none is known."""
    stores = Archive.open(archive).stores()
    return {store.slide_id: store.attributes["labels"]["split"] or "" for store in stores}


def _joined(parts: Sequence[Part]) -> JoinedPatches:
    patches = JoinedPatches(parts)
    height, width, channels = patches.patch_shape
    if patches.dtype != np.uint8 or channels != 3 or height != width:
        raise DataError(
            "tissue is learned from square 8-bit RGB patches; these are "
            f"{patches.dtype} {patches.patch_shape}"
        )
    return patches
