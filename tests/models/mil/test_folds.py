"""Folds by patient."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import LabelsError
from models.mil.folds import make_folds, patient_labels

LABELS = {f"p{n:02d}": n % 3 for n in range(30)}


def test_every_patient_is_tested_once_and_never_on_two_sides() -> None:
    folds = make_folds(LABELS, 5, seed=1337)
    tests = Counter(p for parts in folds for p, part in parts.items() if part == "test")
    assert tests == Counter(LABELS.keys())
    assert all(set(parts) == set(LABELS) for parts in folds)  # one part per patient, so no overlap


@given(
    counts=st.lists(st.integers(4, 20), min_size=2, max_size=4),
    folds=st.integers(2, 3),
    seed=st.integers(0, 1000),
)
def test_every_part_has_every_class_in_its_share(counts: list[int], folds: int, seed: int) -> None:
    labels = {f"{c}-{n}": c for c, count in enumerate(counts) for n in range(count)}
    for parts in make_folds(labels, folds, seed=seed):
        for number, count in enumerate(counts):
            sizes = Counter(part for p, part in parts.items() if labels[p] == number)
            assert abs(sizes["test"] - count / folds) < 1
            rest = count - sizes["test"]
            assert min(sizes["train"], sizes["validation"]) >= 1
            assert abs(sizes["validation"] - rest / 4) <= 1


def test_folds_are_of_even_size_though_no_class_divides_evenly() -> None:
    labels = {f"{c}-{n}": c for c in range(3) for n in range(4)}
    sizes = [sum(part == "test" for part in f.values()) for f in make_folds(labels, 3, seed=0)]
    assert sizes == [4, 4, 4]


def test_the_seed_decides_and_the_order_of_patients_does_not() -> None:
    backwards = dict(reversed(LABELS.items()))
    assert make_folds(LABELS, 5, seed=1) == make_folds(backwards, 5, seed=1)
    assert make_folds(LABELS, 5, seed=1) != make_folds(LABELS, 5, seed=2)


def test_too_few_patients_of_a_class_are_refused() -> None:
    labels = {"a": 0, "b": 0, "c": 0, "d": 0, "e": 0, "f": 1, "g": 1}
    match = "5 folds need at least 5 patients of every class, but class 1 has 2"
    with pytest.raises(LabelsError, match=match):
        make_folds(labels, 5, seed=0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"folds": 1}, "at least 2 folds, got 1"),
        ({"validation": 1.0}, "between 0 and 1, got 1"),
    ],
)
def test_folds_that_make_no_sense_are_refused(change: dict[str, float], match: str) -> None:
    options = {"folds": 3, "seed": 0} | change
    with pytest.raises(ValueError, match=match):
        make_folds(LABELS, **options)


def test_a_patient_is_stratified_by_its_most_frequent_label() -> None:
    pairs = [("a", 1), ("a", 0), ("a", 1), ("b", 2), ("b", 0)]
    assert patient_labels(pairs) == {"a": 1, "b": 0}
