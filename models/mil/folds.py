"""Folds by patient: which patients each fold trains on, validates on and tests on.

Stratified by class. A patient is on one side of a fold only, even where labels are per slide.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from models.errors import LabelsError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

Folds = tuple[dict[str, Part], ...]
"""Per fold, the part of every patient."""


def patient_labels(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Give each patient one label to stratify by, the most frequent of its bags (lowest on a tie).

    Args:
        pairs: patient and class of each bag.
    """
    counts: dict[str, Counter[int]] = {}
    for patient, label in pairs:
        counts.setdefault(patient, Counter())[label] += 1
    return {
        patient: min(found, key=lambda label: (-found[label], label))
        for patient, found in sorted(counts.items())
    }


def make_folds(
    labels: Mapping[str, int], folds: int, *, seed: int, validation: float = 0.25
) -> Folds:
    """Deal patients into folds of which each is the test part once.

    Within a fold the others are split again into train and validation, stratified as well.

    Args:
        labels: class of each patient.
        folds: number of them, at least 2.
        seed: of the shuffles; the order of `labels` does not matter.
        validation: share of the patients that are not tested on.

    Raises:
        LabelsError: a class has too few patients for every part of every fold.
    """
    if folds < 2:
        raise ValueError(f"need at least 2 folds, got {folds}")
    if not 0 < validation < 1:
        raise ValueError(f"validation must be a share between 0 and 1, got {validation}")
    by_class = _by_class(labels)
    _require_enough(by_class, folds)
    generator = np.random.default_rng(seed)
    test: dict[str, int] = {}
    dealt = 0
    for members in by_class.values():
        for patient in _shuffled(members, generator):
            test[patient] = dealt % folds  # goes on where the class before ended: folds stay even
            dealt += 1
    return tuple(_fold(by_class, test, number, validation, generator) for number in range(folds))


def _by_class(labels: Mapping[str, int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for patient in sorted(labels):
        found.setdefault(labels[patient], []).append(patient)
    return dict(sorted(found.items()))


def _require_enough(by_class: Mapping[int, Sequence[str]], folds: int) -> None:
    """Each fold needs a patient of each class to test, to validate and to train."""
    least = max(folds, 4 if folds == 2 else 3)  # two are left when the largest fold is tested
    few = {label: len(members) for label, members in by_class.items() if len(members) < least}
    if few:
        told = ", ".join(f"class {label} has {count}" for label, count in few.items())
        raise LabelsError(
            f"{folds} folds need at least {least} patients of every class, but {told}; "
            "use fewer --folds, or more patients"
        )


def _fold(
    by_class: Mapping[int, Sequence[str]],
    test: Mapping[str, int],
    number: int,
    validation: float,
    generator: np.random.Generator,
) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for members in by_class.values():
        others = _shuffled([p for p in members if test[p] != number], generator)
        kept_out = min(max(1, round(validation * len(others))), len(others) - 1)
        parts |= {p: "test" for p in members if test[p] == number}
        parts |= {p: "validation" if i < kept_out else "train" for i, p in enumerate(others)}
    return dict(sorted(parts.items()))


def _shuffled(members: Sequence[str], generator: np.random.Generator) -> list[str]:
    return [members[i] for i in generator.permutation(len(members))]
