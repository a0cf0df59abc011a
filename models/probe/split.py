"""Which patches teach and which test, and nested shares of the labels (METHODS 2.6)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.errors import LabelsError
from models.probe.cases import Cases, Indices
from tiling.subset import fraction

How = Literal["auto", "manifest", "patient", "patch"]
Unit = Literal["slide", "patient", "patch"]


@dataclass(frozen=True)
class Split:
    """Rows of `Cases`.

    Attributes:
        train, test: sorted rows.
        how: manifest, patient or patch.
        shared_patients: patients that are on both sides.
        shared_slides: slides that are on both sides.
    """

    train: Indices
    test: Indices
    how: str
    shared_patients: int
    shared_slides: int

    @property
    def leaky(self) -> bool:
        """Whether what is tested was in part seen: results look better than they are."""
        return self.shared_patients + self.shared_slides > 0


def choose_split(
    cases: Cases,
    how: How = "auto",
    *,
    train: str = "train",
    test: str = "test",
    test_share: float = 0.25,
    seed: int = 0,
) -> Split:
    """Split rows into those that teach and those that test.

    Args:
        cases: all labelled patches.
        how: by the manifest's column; or at random, stratified by class, whole patients or single
            patches. `auto` takes the manifest where it has a split and patients elsewhere: patches
            are split one by one only when that is asked for.
        train: name of the manifest's training split.
        test: name of the manifest's test split.
        test_share: of patients or patches that test, where the split is at random.
        seed: of the split.

    Raises:
        LabelsError: a side is empty, or the training side has one class only.
    """
    chosen = how if how != "auto" else "manifest" if any(cases.splits) else "patient"
    if chosen == "manifest":
        sides = _named(cases, train), _named(cases, test)
    else:
        unit: Unit = "patch" if chosen == "patch" else "patient"
        sides = _at_random(cases, unit, test_share, seed)
    if not len(sides[1]):
        raise LabelsError(f"no patches are left to test on; test share is {test_share}")
    if len(np.unique(cases.label[sides[0]])) < 2:
        raise LabelsError(f"the {len(sides[0]):,} training patches are not of two classes or more")
    patients, slides = (
        len(np.intersect1d(values[sides[0]], values[sides[1]]))
        for values in (cases.patient, cases.slide)
    )
    return Split(*sides, chosen, patients, slides)


def label_fraction(
    cases: Cases, train: Indices, share: float, *, unit: Unit = "slide", seed: int = 0
) -> Indices:
    """Choose a share of the training rows, stratified by class; smaller shares are parts of it.

    Args:
        cases: all labelled patches.
        train: rows of the whole training side.
        share: in (0, 1].
        unit: what is chosen: whole slides, whole patients, or single patches.
        seed: of the choice.

    Returns:
        Sorted rows; a class that is no slide's most frequent one may be missing.
    """
    groups = cases.patient if unit == "patient" else cases.slide
    by: Literal["slide", "patch"] = "patch" if unit == "patch" else "slide"
    return train[fraction(groups[train], share, seed=seed, unit=by, labels=cases.label[train])]


def _named(cases: Cases, name: str) -> Indices:
    rows = np.flatnonzero(cases.split == name).astype(np.int64)
    if not len(rows):
        known = ", ".join(sorted({split for split in cases.splits if split})) or "none"
        raise LabelsError(f"no labelled patches are in the split {name!r}; there are: {known}")
    return rows


def _at_random(cases: Cases, unit: Unit, test_share: float, seed: int) -> tuple[Indices, Indices]:
    if not 0 < test_share < 1:
        raise LabelsError(f"the test share must be between 0 and 1, got {test_share}")
    rows = np.arange(len(cases))
    train = label_fraction(cases, rows, 1 - test_share, unit=unit, seed=seed)
    return train, np.setdiff1d(rows, train)
