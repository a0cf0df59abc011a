"""Which bags there are, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import BagError, LabelsError
from models.mil.cohort import Labels, choose_unit, class_names, group, read_slides
from tests.models.mil.cohorts import ENCODER, Planted, write_slide

ROWS = np.zeros((2, 3), np.float32)


def archive(folder: Path, *slides: Planted, name: str = "a.zarr") -> str:
    for planted in slides:
        write_slide(folder / name, planted)
    return str(folder / name)


def test_patients_are_bags_where_each_has_one_label(tmp_path: Path) -> None:
    place = archive(
        tmp_path,
        Planted("s1", ROWS, "a", "p1"),
        Planted("s2", ROWS, "", "p1"),
        Planted("s3", ROWS, "b", "p2"),
    )
    rows = read_slides([place], ENCODER)
    assert choose_unit(rows) == "patient"
    bags = group(rows, "patient", class_names(rows))
    assert [(bag.name, bag.label, len(bag)) for bag in bags] == [("p1", 0, 4), ("p2", 1, 2)]


def test_slides_are_bags_where_a_patient_has_two_labels(tmp_path: Path) -> None:
    place = archive(tmp_path, Planted("s1", ROWS, "a", "p1"), Planted("s2", ROWS, "b", "p1"))
    rows = read_slides([place], ENCODER)
    assert choose_unit(rows) == "slide"
    with pytest.raises(LabelsError, match="patient p1 has slides of labels a, b; use --unit slide"):
        group(rows, "patient", ("a", "b"))


def test_a_slide_without_a_patient_is_its_own(tmp_path: Path) -> None:
    rows = read_slides([archive(tmp_path, Planted("s1", ROWS, "a"))], ENCODER)
    assert rows[0].patient == "s1"


def test_numbers_are_classes_by_value(tmp_path: Path) -> None:
    slides = [Planted(f"s{n}", ROWS, label) for n, label in enumerate(("10", "9", "2"))]
    assert class_names(read_slides([archive(tmp_path, *slides)], ENCODER)) == ("2", "9", "10")


def test_labels_of_a_table_win(tmp_path: Path) -> None:
    place = archive(tmp_path, Planted("s1", ROWS, "a", "p1"), Planted("s2", ROWS, "b", "p2"))
    table = Labels({"s1": "new"}, {"p2": "other"}, {"s1": "p9"})
    rows = read_slides([place], ENCODER, labels=table)
    assert [(row.label, row.patient) for row in rows] == [("new", "p9"), ("other", "p2")]


@pytest.mark.parametrize(("labels", "found"), [(("", ""), "none"), (("a", "a"), "only 'a'")])
def test_fewer_than_two_labels_are_refused(
    tmp_path: Path, labels: tuple[str, str], found: str
) -> None:
    slides = [Planted(f"s{n}", ROWS, label) for n, label in enumerate(labels)]
    rows = read_slides([archive(tmp_path, *slides)], ENCODER)
    with pytest.raises(LabelsError, match=f"at least two labels, found {found}"):
        class_names(rows)


def test_an_unknown_label_is_refused(tmp_path: Path) -> None:
    rows = read_slides([archive(tmp_path, Planted("s1", ROWS, "c"))], ENCODER)
    with pytest.raises(LabelsError, match="slide s1 has label 'c', which is none of a, b"):
        group(rows, "slide", ("a", "b"))


def test_one_slide_in_two_archives_is_refused(tmp_path: Path) -> None:
    places = [archive(tmp_path, Planted("s1", ROWS), name=name) for name in ("a.zarr", "b.zarr")]
    with pytest.raises(BagError, match=r"slide 's1' is in .*a\.zarr and in .*b\.zarr"):
        read_slides(places, ENCODER)


def test_embeddings_of_two_encoders_are_refused(tmp_path: Path) -> None:
    write_slide(tmp_path / "a.zarr", Planted("s1", ROWS))
    write_slide(tmp_path / "a.zarr", Planted("s2", ROWS), weights_sha256="1" * 64)
    with pytest.raises(BagError, match="of s2 are of another encoder than those of s1"):
        read_slides([str(tmp_path / "a.zarr")], ENCODER)


def test_missing_embeddings_say_what_to_run(tmp_path: Path) -> None:
    place = archive(tmp_path, Planted("s1", ROWS))
    with pytest.raises(BagError, match=r"of 'other'; there are: toy.*microtome embed"):
        read_slides([place], "other")
