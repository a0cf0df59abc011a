"""Labelled part, folds and test rows: by patient, disjoint, growing."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.distilling.choosing import Parts, choose_parts
from models.distilling.job import DistillJob
from models.errors import DataError, LabelsError
from tests.models.data.conftest import import_set
from tests.tiling.importing.pictures import picture, save, write_csv

PATIENTS = 14
PER_PATIENT = 3


def _archive(root: Path, rows: list[dict[str, object]], labels: str = "auto") -> Path:
    for number, row in enumerate(rows):
        save(root / str(row["file"]), picture(number))
    import_set(write_csv(root / "set.csv", rows), root / "a.zarr", labels)
    return root / "a.zarr"


def _row(patient: int, patch: int, split: str, label: str) -> dict[str, object]:
    name = f"p{patient:02}-{patch % 2}/{patch}.png"
    given = {"file": name, "slide_id": f"p{patient:02}-{patch % 2}", "patient": f"p{patient:02}"}
    return given | {"split": split, "label": label}


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients of two classes; the last two test, and every third patch has no label."""
    rows = [
        _row(p, i, "test" if p >= PATIENTS - 2 else "train", "" if i == 2 else "ab"[p % 2])
        for p in range(PATIENTS)
        for i in range(PER_PATIENT)
    ]
    return _archive(tmp_path_factory.mktemp("partial"), rows)


def _parts(archive: Path, **changes: Any) -> Parts:
    given = {"archives": (str(archive),), "folder": "/nowhere", "identity": "x", "round": 0}
    return choose_parts(DistillJob(**given | {"labelled": 0.34} | changes))


def _patients(parts: Parts, rows: np.ndarray) -> set[str]:
    return {parts.patches.slides[i].patient for i in parts.patches.slide_of[rows]}


def test_a_patient_that_teaches_and_tests_is_told_of(tmp_path: Path) -> None:
    rows = [_row(p, i, "train" if i % 2 else "test", "ab"[p % 2]) for p in range(6) for i in (0, 1)]
    found = _parts(_archive(tmp_path, rows))
    assert found.notes == ("leaky: patients that both teach and test, 6; scores are too good",)


def test_the_hash_of_who_tests_is_that_of_the_patients_alone(partial: Path) -> None:
    found = _parts(partial).tested
    assert found == hashlib.sha256(b"p12\np13").hexdigest()
    assert _parts(partial, fraction_seed=1, labelled=0.5).tested == found


def test_parts_are_disjoint_and_hold_every_patch_that_may_teach(partial: Path) -> None:
    parts = _parts(partial)
    every = np.concatenate([parts.labelled, *parts.folds])
    assert len(np.unique(every)) == len(every) == (PATIENTS - 2) * PER_PATIENT
    assert not np.intersect1d(every, parts.test).size
    assert parts.patches.labels is not None
    assert (parts.patches.labels[parts.labelled] >= 0).all()
    assert len(parts.test) == 2 * (PER_PATIENT - 1)  # patches without a label score nothing


def test_labelled_patients_are_of_every_class_alike(partial: Path) -> None:
    parts = _parts(partial)
    assert len(_patients(parts, parts.labelled)) == 4
    assert parts.patches.labels is not None
    assert np.bincount(parts.patches.labels[parts.labelled]).tolist() == [4, 4]


def test_no_patient_is_in_two_folds_and_folds_are_of_a_size(partial: Path) -> None:
    parts = _parts(partial)
    owners = [_patients(parts, fold) for fold in parts.folds]
    assert all(a.isdisjoint(b) for i, a in enumerate(owners) for b in owners[:i])
    sizes = [len(fold) for fold in parts.folds]
    assert max(sizes) - min(sizes) <= PER_PATIENT + 1


def test_rounds_grow(partial: Path) -> None:
    parts = _parts(partial)
    assert not len(parts.unlabelled(0))
    for folds in (1, 2, 3):
        joined = np.sort(np.concatenate(parts.folds[:folds]))
        assert np.array_equal(parts.unlabelled(folds), joined)


def test_with_all_labels_shown_the_unlabelled_patches_are_left(partial: Path) -> None:
    parts = _parts(partial, labelled=1.0, folds=2)
    assert len(parts.labelled) == (PATIENTS - 2) * (PER_PATIENT - 1)
    assert parts.patches.labels is not None
    assert (parts.patches.labels[parts.unlabelled(2)] == -1).all()


@pytest.mark.parametrize("unit", ["slide", "patient", "patch"])
def test_the_same_seed_draws_the_same_and_another_one_others(partial: Path, unit: str) -> None:
    def folds(seed: int) -> list[list[int]]:
        parts = _parts(partial, fraction_seed=seed, fraction_unit=unit)
        return [parts.labelled.tolist(), *(fold.tolist() for fold in parts.folds)]

    assert folds(3) == folds(3)
    assert folds(3) != folds(4)


def test_one_large_unit_leaves_no_fold_empty(tmp_path: Path) -> None:
    rows = [_row(p, i, "train", "ab"[p % 2]) for p in range(6) for i in range(9 if p == 5 else 1)]
    rows += [_row(p, 0, "test", "ab"[p % 2]) for p in (6, 7)]
    archive = _archive(tmp_path, rows)
    for seed in range(5):
        parts = _parts(archive, labelled=0.2, fraction_seed=seed, folds=4)
        assert all(len(fold) for fold in parts.folds)


def test_without_splits_some_patients_test_and_that_is_said(tmp_path: Path) -> None:
    rows = [_row(p, i, "", "ab"[p % 2]) for p in range(12) for i in range(2)]
    parts = _parts(_archive(tmp_path, rows))
    assert len(_patients(parts, parts.test)) == 4  # a quarter of either class, rounded up
    assert "no splits" in parts.notes[0]
    others = _patients(parts, np.concatenate([parts.labelled, *parts.folds]))
    assert others.isdisjoint(_patients(parts, parts.test))


def test_targets_follow_the_labels(partial: Path, tmp_path: Path) -> None:
    assert _parts(partial).target == "binary"
    assert _parts(partial).outputs == 1
    assert _parts(partial, target="exclusive").outputs == 2
    rows = [
        _row(p, i, "train" if p < 6 else "test", "abc"[p % 3]) for p in range(9) for i in (0, 1)
    ]
    three = _parts(_archive(tmp_path, rows), labelled=0.5, folds=1)
    assert (three.target, three.outputs) == ("exclusive", 3)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"split": "nowhere"}, DataError, "no slide is of the split 'nowhere'; there are: test"),
        ({"test_split": "val"}, DataError, "no slide is of the split 'val'"),
        ({"folds": 60}, DataError, "do not make 60 folds"),
        ({"target": "multilabel"}, LabelsError, "does not fit labels of one class per patch"),
    ],
)
def test_what_cannot_be_is_refused(
    partial: Path, changes: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        _parts(partial, **changes)


def test_an_archive_without_labels_or_of_one_class_is_refused(tmp_path: Path) -> None:
    rows = [_row(p, 0, "train" if p < 4 else "test", "a") for p in range(6)]
    archive = _archive(tmp_path / "one", rows)
    with pytest.raises(LabelsError, match="are of the class 'a'; two classes are needed"):
        _parts(archive)
    bare = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    with pytest.raises(LabelsError, match="has no labels; a small part of the patches needs some"):
        _parts(_archive(tmp_path / "none", bare, "none"))
