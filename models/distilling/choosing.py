"""Which patches are labelled, which come without labels in which round, and which test."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.distilling.job import DistillJob
from models.errors import DataError, LabelsError
from models.losses.distl import Target
from models.ssl.patches import Patches, open_patches
from models.training.taught import describe_patches
from tiling.epochs import Indices, epoch_generator
from tiling.subset import fraction

Unit = Literal["slide", "patient", "patch"]
FOLD_STREAM = 11
"""Sets the order in which units fill the folds apart from the choice of the labelled ones."""


@dataclass(frozen=True)
class Parts:
    """Patches of archives, and the part that each plays; rows are sorted, and in one part alone.

    Attributes:
        patches: all of the archives.
        labelled: rows whose labels teach, (L,).
        folds: rows without labels, or whose labels are not looked at, one array per fold.
        test: rows that score a student, (m,).
        target: what labels are.
        notes: what a person should know.
    """

    patches: Patches
    labelled: Indices
    folds: tuple[Indices, ...]
    test: Indices
    target: Target
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.patches.label_names)

    @property
    def outputs(self) -> int:
        """Of the class head: one where there are two classes that exclude each other."""
        return 1 if self.target == "binary" else len(self.classes)

    def unlabelled(self, folds: int) -> Indices:
        """Give the rows of the first folds, sorted."""
        return np.sort(np.concatenate([*self.folds[:folds], np.zeros(0, np.int64)]))

    @property
    def tested(self) -> str:
        """Hash of the patients that test, or of slides without one."""
        names = _names(self.patches)[np.unique(self.patches.slide_of[self.test])]
        return hashlib.sha256("\n".join(sorted(set(names.tolist()))).encode()).hexdigest()

    def counted(self, rows: Indices) -> dict[str, Any]:
        """Count rows, as JSON values."""
        slides = [self.patches.slides[i] for i in np.unique(self.patches.slide_of[rows])]
        return describe_patches(slides, len(rows), self.patches.patch_shape[0])


def choose_parts(job: DistillJob) -> Parts:
    """Open a job's patches, and choose the parts; the same for all rounds of a run.

    Raises:
        DataError: no slide is of a split, or a fold is empty.
        LabelsError: there are no labels, or of one class only.
    """
    patches = open_patches(job.archives)
    known = _known(patches)
    if known is None:
        raise LabelsError(
            f"{', '.join(job.archives)} has no labels; a small part of the patches needs some "
            "(`microtome import patches` writes them)"
        )
    train, test, notes = _sides(patches, known, job)
    candidates = train[known[train]]
    labelled = _labelled(patches, candidates, job)
    _require_classes(patches, labelled)
    free = np.setdiff1d(train, labelled)
    units = _units(patches, free, job.fraction_unit)
    folds = _folds(free, units, job.folds, job.fraction_seed)
    target = _target(patches, job)
    return Parts(patches, labelled, folds, test, target, notes)


def _known(patches: Patches) -> NDArray[np.bool_] | None:
    """Tell which patches have a label, of one class at least, (N,)."""
    labels = patches.labels
    if labels is None:
        return None
    known = labels >= 0
    return np.asarray(known if labels.ndim == 1 else known.any(axis=1))


def _sides(
    patches: Patches, known: NDArray[np.bool_], job: DistillJob
) -> tuple[Indices, Indices, tuple[str, ...]]:
    """Give the rows that may teach, and those that test, by the manifest's splits if it has any."""
    splits = np.array([slide.split for slide in patches.slides])
    rows = np.arange(len(patches), dtype=np.int64)
    if not any(splits):
        units = _units(patches, rows, "patient")
        tests = np.zeros(len(rows), np.bool_)
        tests[fraction(units, job.test_share, seed=job.fraction_seed, labels=_strata(patches))] = 1
        text = f"the manifest has no splits: {100 * job.test_share:g} % of the patients test"
        return rows[~tests], rows[tests & known], (text,)
    sides = []
    for name in (job.split, job.test_split):
        of = rows[(splits == name)[patches.slide_of]]
        if not len(of):
            there = ", ".join(sorted(set(splits) - {""}))
            raise DataError(f"no slide is of the split {name!r}; there are: {there}")
        sides.append(of)
    test = sides[1][known[sides[1]]]
    if not len(test):
        raise LabelsError(f"no patch of the split {job.test_split!r} has a label to score by")
    teach, score = (_units(patches, rows, "patient") for rows in (sides[0], test))
    return sides[0], test, _shared(len(np.intersect1d(teach, score)))


def _shared(patients: int) -> tuple[str, ...]:
    if not patients:
        return ()
    return (f"leaky: patients that both teach and test, {patients}; scores are too good",)


def _labelled(patches: Patches, candidates: Indices, job: DistillJob) -> Indices:
    if not len(candidates):
        raise LabelsError("no patch that may teach has a label; check the split and the labels")
    units = _units(patches, candidates, job.fraction_unit)
    strata = _strata(patches)
    chosen = fraction(
        units,
        job.labelled,
        seed=job.fraction_seed,
        labels=None if strata is None else strata[candidates],
    )
    return candidates[chosen]


def _strata(patches: Patches) -> NDArray[np.integer] | None:
    """Give a class per patch to draw evenly by; None where a patch may be of several."""
    labels = patches.labels
    return None if labels is None or labels.ndim > 1 else labels


def _require_classes(patches: Patches, labelled: Indices) -> None:
    strata = _strata(patches)
    if strata is None:
        return
    found = np.unique(strata[labelled])
    if len(found) < 2:
        raise LabelsError(
            f"all {len(labelled):,} labelled patches are of the class "
            f"{patches.label_names[found[0]]!r}; two classes are needed: take a larger --labelled"
        )


def _units(patches: Patches, rows: Indices, unit: Unit) -> NDArray[Any]:
    """Number what is drawn as one: slides, patients or single patches, (n,)."""
    slide_of = patches.slide_of[rows]
    if unit == "patch":
        return rows
    if unit == "slide":
        return slide_of
    return np.asarray(np.unique(_names(patches), return_inverse=True)[1][slide_of])


def _names(patches: Patches) -> NDArray[np.str_]:
    """Name the patient of each slide, or the slide itself where none is known."""
    return np.array([slide.patient or f"\0{slide.slide_id}" for slide in patches.slides])


def _folds(rows: Indices, units: NDArray[Any], count: int, seed: int) -> tuple[Indices, ...]:
    """Divide rows into folds of nearly as many patches, whole units in a random order.

    Raises:
        DataError: there are too few units.
    """
    names, unit = np.unique(units, return_inverse=True)
    if len(names) < count:
        raise DataError(
            f"{len(rows):,} unlabelled patches of {len(names)} units do not make {count} folds; "
            "use fewer --folds, a smaller --labelled, or another --fraction-unit"
        )
    order = epoch_generator(seed + (FOLD_STREAM << 32), 0).random(len(names)).argsort()
    sizes = np.bincount(unit)[order]
    middle = sizes.cumsum() - sizes / 2
    fold = np.minimum((middle * count / sizes.sum()).astype(np.int64), count - 1)
    # every fold has a unit at least, even where one unit is larger than a fold
    least = np.arange(len(names)) - len(names) + count
    for place in range(len(names)):
        before = fold[place - 1] if place else -1
        fold[place] = np.clip(fold[place], max(before, least[place]), before + 1)
    of = np.empty(len(names), np.int64)
    of[order] = fold
    return tuple(rows[of[unit] == number] for number in range(count))


def _target(patches: Patches, job: DistillJob) -> Target:
    several = patches.labels is not None and patches.labels.ndim > 1
    usual: Target = "binary" if len(patches.label_names) == 2 else "exclusive"
    target = job.target or ("multilabel" if several else usual)
    if several != (target == "multilabel"):
        kind = "several classes" if several else "one class"
        raise LabelsError(f"--target {target} does not fit labels of {kind} per patch")
    if target == "binary" and len(patches.label_names) != 2:
        raise LabelsError(f"--target binary needs two classes, got {len(patches.label_names)}")
    return target
