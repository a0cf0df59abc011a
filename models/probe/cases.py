"""The labelled patches of an archive, row by row: class, patient, slide, split. No pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import LabelsError
from tiling.labels import UNKNOWN, read_labels
from tiling.store import Archive, PatchStore
from tiling.tiles import UNREADABLE

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Cases:
    """Labelled patches, N rows: slide after slide, in the archive's order.

    Attributes:
        slide_ids: all slides that have labelled patches, S.
        patients: names of the patients, P; the slide's ID where a slide has none.
        splits: of each slide, S; empty text where the manifest had none.
        names: of the classes, C.
        slide: number of each row's slide, (N,).
        index: number of the patch in its slide, (N,).
        patient: number of each row's patient, (N,).
        label: number of each row's class, (N,).
        unlabelled, unreadable: patches that were left out; unreadable ones are white.
    """

    slide_ids: tuple[str, ...]
    patients: tuple[str, ...]
    splits: tuple[str, ...]
    names: tuple[str, ...]
    slide: Indices
    index: Indices
    patient: Indices
    label: Indices
    unlabelled: int
    unreadable: int

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.label)

    @property
    def split(self) -> NDArray[np.str_]:
        """Split of each row, (N,)."""
        return np.array(self.splits, np.str_)[self.slide]

    def by_slide(self, rows: Indices) -> Iterator[tuple[str, Indices, Indices]]:
        """Give, slide by slide, its ID, positions in `rows`, and numbers of the patches."""
        order = np.argsort(self.slide[rows], kind="stable")
        slides, starts = np.unique(self.slide[rows][order], return_index=True)
        for slide, places in zip(slides, np.split(order, starts[1:]), strict=True):
            yield self.slide_ids[slide], places, self.index[rows[places]]


def read_cases(archive: Archive, source: Literal["patch", "slide"] = "patch") -> Cases:
    """Read the class of every patch.

    Args:
        archive: to be read.
        source: the patches' own labels, or the label of their slide in the manifest.

    Raises:
        LabelsError: there are no labels, they are no classes, or all are of one class.
    """
    names: dict[str, int] = {}
    read = _patch_labels if source == "patch" else _slide_labels
    slides = [_Slide.of(store, read(store, names)) for store in archive.stores()]
    labelled = [slide for slide in slides if slide.labelled]
    _require_labels(archive, source, len(slides), len(labelled))
    patients = {name: i for i, name in enumerate(sorted({slide.patient for slide in labelled}))}
    sizes = [len(slide.kept) for slide in labelled]
    label = np.concatenate([slide.label[slide.kept] for slide in labelled])
    _require_classes(label, list(names))
    return Cases(
        slide_ids=tuple(slide.slide_id for slide in labelled),
        patients=tuple(patients),
        splits=tuple(slide.split for slide in labelled),
        names=tuple(names),
        slide=np.repeat(np.arange(len(labelled)), sizes),
        index=np.concatenate([slide.kept for slide in labelled]),
        patient=np.repeat([patients[slide.patient] for slide in labelled], sizes),
        label=label,
        unlabelled=sum(len(slide.label) - slide.labelled for slide in slides),
        unreadable=sum(slide.labelled for slide in labelled) - sum(sizes),
    )


@dataclass(frozen=True)
class _Slide:
    """One slide: the class of every patch, -1 where nobody gave it, and the patches to use."""

    slide_id: str
    patient: str
    split: str
    label: Indices
    kept: Indices

    @classmethod
    def of(cls, store: PatchStore, label: Indices) -> "_Slide":
        known = store.attributes
        kept = np.flatnonzero((label != UNKNOWN) & (store.status != UNREADABLE)).astype(np.int64)
        patient = str(known.get("patient") or store.slide_id)
        return cls(store.slide_id, patient, str(known["labels"].get("split") or ""), label, kept)

    @property
    def labelled(self) -> int:
        return int((self.label != UNKNOWN).sum())


def _patch_labels(store: PatchStore, names: dict[str, int]) -> Indices:
    """Class of each patch by the numbers in `names`, which grows, (N,)."""
    found = read_labels(store)
    if found is None:
        return np.full(len(store), UNKNOWN, np.int64)
    if found.kind != "classes":
        raise LabelsError(
            f"the patches of {store.slide_id} have {found.kind} labels {found.values.shape}; "
            "a probe needs one class per patch"
        )
    numbers = [names.setdefault(name, len(names)) for name in found.names]
    # the last is what -1 leads to
    return np.asarray(np.array([*numbers, UNKNOWN])[found.values], np.int64)


def _slide_labels(store: PatchStore, names: dict[str, int]) -> Indices:
    label = store.attributes["labels"].get("label")
    number = names.setdefault(str(label), len(names)) if label else UNKNOWN
    return np.full(len(store), number, np.int64)


def _require_labels(archive: Archive, source: str, slides: int, labelled: int) -> None:
    if labelled:
        return
    hint = {
        "patch": "import patches with labels, or use the slides' own with --labels slide",
        "slide": "give a column label in the manifest",
    }[source]
    raise LabelsError(f"none of {slides} slides of {archive.location} has labels; {hint}")


def _require_classes(label: Indices, names: Sequence[str]) -> None:
    found = np.unique(label)
    if len(found) < 2:
        only = names[found[0]] if len(found) else "no"
        raise LabelsError(
            f"all {len(label):,} labelled patches are of class {only!r}; a probe needs two classes"
        )
