from pathlib import Path

import numpy as np
import pytest

from models.errors import LabelsError
from models.probe import read_cases
from tests.models.probe.planted import Planted, plant
from tiling.labels import Labels, add_array


def test_rows_are_the_labelled_patches_slide_after_slide(tmp_path: Path) -> None:
    archive = plant(
        tmp_path / "a.zarr",
        [
            Planted("b", [1, -1, 0], "p2", "test"),
            Planted("a", [0, 0], "p2", "train"),
            Planted("c", None, "p3"),
            Planted("d", [1, 1, 1], "", status=[0, 2, 1]),
        ],
    )
    cases = read_cases(archive)
    assert cases.slide_ids == ("a", "b", "d")
    assert cases.patients == ("d", "p2")  # a slide without a patient is its own
    assert cases.names == ("benign", "tumour")
    assert cases.label.tolist() == [0, 0, 1, 0, 1, 1]
    assert cases.index.tolist() == [0, 1, 0, 2, 0, 2]
    assert cases.patient.tolist() == [1, 1, 1, 1, 0, 0]
    assert cases.split.tolist() == ["train", "train", "test", "test", "", ""]
    assert (cases.unlabelled, cases.unreadable) == (1 + 4, 1)


def test_rows_are_found_by_slide_in_any_order(tmp_path: Path) -> None:
    archive = plant(tmp_path / "a.zarr", [Planted("a", [0, 1, 1]), Planted("b", [1, 0])])
    cases = read_cases(archive)
    rows = np.array([4, 1, 0, 3, 2])
    found = {}
    for slide_id, places, indices in cases.by_slide(rows):
        for place, index in zip(places, indices, strict=True):
            found[int(place)] = (slide_id, int(index))
    assert [found[i] for i in range(5)] == [("b", 1), ("a", 1), ("a", 0), ("b", 0), ("a", 2)]


def test_classes_are_matched_by_name_where_slides_number_them_differently(tmp_path: Path) -> None:
    slides = [Planted("a", [0, 1]), Planted("b", [0, 1], names=("tumour", "necrosis"))]
    cases = read_cases(plant(tmp_path / "a.zarr", slides))
    assert [cases.names[label] for label in cases.label] == [
        "benign",
        "tumour",
        "tumour",
        "necrosis",
    ]


def test_labels_of_slides_are_those_of_their_patches(tmp_path: Path) -> None:
    slides = [Planted("a", None, label="sick"), Planted("b", None, label="well"), Planted("c", [0])]
    cases = read_cases(plant(tmp_path / "a.zarr", slides), "slide")
    assert [cases.names[label] for label in cases.label] == ["sick"] * 4 + ["well"] * 4


def test_without_labels_it_says_what_to_do(tmp_path: Path) -> None:
    archive = plant(tmp_path / "a.zarr", [Planted("a", None), Planted("b", [-1, -1])])
    with pytest.raises(LabelsError, match=r"none of 2 slides .* has labels; .*--labels slide"):
        read_cases(archive)
    with pytest.raises(LabelsError, match="give a column label in the manifest"):
        read_cases(archive, "slide")


def test_one_class_is_refused(tmp_path: Path) -> None:
    archive = plant(tmp_path / "a.zarr", [Planted("a", [1, 1])])
    with pytest.raises(LabelsError, match="all 2 labelled patches are of class 'tumour'"):
        read_cases(archive)


def test_many_labels_per_patch_are_refused(tmp_path: Path) -> None:
    archive = plant(tmp_path / "a.zarr", [Planted("a", None)])
    labels = Labels(np.ones((4, 2), np.int8), ("a", "b"), "multilabel")
    add_array(archive.storage, "a", "labels", labels.array())
    with pytest.raises(LabelsError, match=r"a have multilabel labels \(4, 2\); .* one class"):
        read_cases(archive)
