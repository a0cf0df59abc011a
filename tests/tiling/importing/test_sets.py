"""Folders and CSVs as slides with labels; what is wrong names its line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiling.importing.pictures import write_csv
from tiling.errors import ManifestError
from tiling.importing.labelling import parse_mode
from tiling.importing.rows import find_patches
from tiling.importing.sets import SlideSet, group_slides


def slides(
    location: Path, by: str = "auto", labels: str = "auto", classes: tuple[str, ...] = ()
) -> dict[str, SlideSet]:
    found = group_slides(find_patches(str(location)), by, parse_mode(labels), classes)
    assert [s.slide_id for s in found] == sorted(s.slide_id for s in found)
    return {slide.slide_id: slide for slide in found}


def touch(root: Path, *names: str) -> Path:
    """Files without content: nothing here opens an image."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def table(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    return write_csv(tmp_path / "set.csv", list(rows))


def test_class_folders_are_labels_and_splits_are_slides(tmp_path: Path) -> None:
    touch(tmp_path, "train/b/2.png", "train/a/1.png", "test/b/1.jpg", "train/b/1.png")
    found = slides(tmp_path)
    assert list(found) == ["test", "train"]
    train = found["train"]
    assert [row.name for row in train.rows] == ["train/a/1.png", "train/b/1.png", "train/b/2.png"]
    assert train.split == "train"
    assert train.labels is not None
    assert train.labels.names == ("a", "b")
    assert train.labels.values.tolist() == [0, 1, 1]
    assert found["test"].labels is not None
    assert found["test"].labels.values.tolist() == [1]  # the same classes for all slides


def test_one_folder_is_one_slide_without_labels(tmp_path: Path) -> None:
    (slide,) = slides(touch(tmp_path / "mine", "1.png", "2.tif", "notes.txt", ".3.png")).values()
    assert slide.slide_id == "mine"
    assert len(slide.rows) == 2
    assert slide.labels is None


def test_luad_folders_give_patients_labels_splits_and_masks(tmp_path: Path) -> None:
    touch(tmp_path, "train/1-20-30-[1 0 0 1].png", "train/2-20-30-[0 1 0 0].png")
    touch(tmp_path, "val/img/3-1-1.png", "val/mask/3-1-1.png")
    found = slides(tmp_path)
    assert list(found) == ["1", "2", "3"]
    assert found["1"].labels is not None
    assert found["1"].labels.values.tolist() == [[1, 0, 0, 1]]
    assert found["1"].labels.names == ("TE", "NEC", "LYM", "TAS")
    assert found["3"].labels is not None
    assert found["3"].labels.values.tolist() == [[-1, -1, -1, -1]]
    assert [found[name].split for name in found] == ["train", "train", "val"]
    assert found["3"].rows[0].mask == str(tmp_path / "val/mask/3-1-1.png")
    assert found["1"].rows[0].mask is None


def test_names_may_be_called_otherwise(tmp_path: Path) -> None:
    touch(tmp_path, "a[10].png", "b[01].png")
    (slide,) = slides(tmp_path, classes=("x", "y")).values()
    assert slide.labels is not None
    assert slide.labels.names == ("x", "y")
    with pytest.raises(ManifestError, match="3 names in --classes for labels of 2 classes"):
        slides(tmp_path, classes=("x", "y", "z"))


def test_a_csv_tells_all(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        {
            "file": "b.png",
            "patient": "P1",
            "label": "tumour",
            "split": "train",
            "site": "H",
            "x": 64,
        },
        {"file": "a.png", "patient": "P1", "label": "", "split": "train", "site": "H", "x": 0},
        {"file": "c.png", "patient": "P/2", "label": "other", "split": "", "site": "", "x": ""},
    )
    found = slides(path)
    assert list(found) == ["P1", "P__2"]
    first = found["P1"]
    assert (first.patient, first.site, first.split) == ("P1", "H", "train")
    assert [row.path for row in first.rows] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert first.labels is not None
    assert (first.labels.values.tolist(), first.labels.names) == ([-1, 1], ("other", "tumour"))
    assert first.coords is None  # x without y
    assert first.rows[1].where == "set.csv line 2: b.png"


def test_places_order_the_patches_row_by_row(tmp_path: Path) -> None:
    places = [(64, 0), (0, 64), (0, 0)]
    rows = [{"file": f"{i}.png", "slide": "s", "x": x, "y": y} for i, (x, y) in enumerate(places)]
    slide = slides(table(tmp_path, *rows))["s"]
    assert slide.coords is not None
    assert slide.coords.tolist() == [[0, 0], [64, 0], [0, 64]]
    assert [row.name for row in slide.rows] == ["2.png", "0.png", "1.png"]


def test_columns_of_several_labels_keep_their_names(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        {"file": "a.png", "low_IN": 1, "Other": 0},
        {"file": "b.png", "low_IN": "", "Other": -1},
    )
    (slide,) = slides(path, labels="column:low_in,Other").values()
    assert slide.labels is not None
    assert slide.labels.names == ("low_IN", "Other")
    assert slide.labels.values.tolist() == [[1, 0], [-1, -1]]
    assert slide.slide_id == "set"


@pytest.mark.parametrize("by", ["scanner", "folder", "one"])
def test_what_makes_a_slide_can_be_said(tmp_path: Path, by: str) -> None:
    path = table(
        tmp_path,
        {"file": "x/a.png", "patient": "1", "scanner": "A", "site": ""},
        {"file": "y/b.png", "patient": "1", "scanner": "B", "site": ""},
    )
    expected = {"scanner": ["A", "B"], "folder": ["x", "y"], "one": ["set"]}[by]
    assert list(slides(path, by=by)) == expected


WRONG = {
    "no file column": ([{"a": 1}], {}, r"line 1: no column with files \(file, path"),
    "empty file": ([{"file": "", "site": "x"}], {}, "set.csv line 2: file is empty"),
    "no lines": ([{"file": "a.png"}], {"lines": 1}, "set.csv: only a header, no lines"),
    "a file twice": ([{"file": "a.png"}, {"file": "a.png"}], {}, "lines 2 and 3 both name a.png"),
    "two splits": (
        [
            {"file": "a.png", "patient": "1", "split": "train"},
            {"file": "b.png", "patient": "1", "split": "val"},
        ],
        {},
        r"'1' has more than one split: 'train' \(set.csv line 2: a.png\) and 'val' \(.* line 3",
    ),
    "two patients": (
        [
            {"file": "a.png", "slide_id": "s", "patient": "1"},
            {"file": "b.png", "slide_id": "s", "patient": "2"},
        ],
        {},
        "has more than one patient: '1' .*line 2.* and '2' .*line 3",
    ),
    "no patient": (
        [{"file": "a.png", "patient": "1"}, {"file": "b.png", "patient": ""}],
        {},
        "line 3: b.png: patient is empty",
    ),
    "same ID": (
        [{"file": "a.png", "slide": "a b"}, {"file": "b.png", "slide": "a_b"}],
        {},
        "'a b' and 'a_b' would both be 'a_b'",
    ),
    "half a place": (
        [
            {"file": "a.png", "slide": "s", "x": "1", "y": "2"},
            {"file": "b.png", "slide": "s", "x": "1", "y": ""},
        ],
        {},
        "line 3: b.png: x or y is empty",
    ),
    "no whole place": (
        [{"file": "a.png", "x": "1.5", "y": "nan"}],
        {},
        "line 2: a.png: x must be a whole number of pixels, got '1.5'",
    ),
    "mpp": ([{"file": "a.png", "mpp": "-1"}], {}, "line 2: a.png: mpp must be a positive number"),
    "class": (
        [{"file": "a.png", "label": "b"}],
        {"classes": ("c", "d")},
        "line 2: a.png: the label 'b' is none of the classes c, d",
    ),
    "state": (
        [{"file": "a.png", "a": "1", "b": "yes"}],
        {"labels": "column:a,b"},
        "line 2: a.png: b must be 1, 0, -1 or empty, got 'yes'",
    ),
    "column": ([{"file": "a.png"}], {"labels": "column:q"}, "has no column 'q'; there are: file"),
    "by column": ([{"file": "a.png"}], {"by": "q"}, "--slide-by has no column 'q'"),
    "by name": ([{"file": "a.png"}], {"by": "name"}, "a.png: the name is neither"),
    "no names": ([{"file": "a.png"}], {"labels": "name"}, "no file name has a label in brackets"),
    "widths": (
        [{"file": "a[1].png"}, {"file": "b[10].png"}],
        {},
        "line 3: b.10..png: a label of 2 classes, others have 1",
    ),
    "no labels": ([{"file": "a.png", "label": ""}], {}, "no patch has a label"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_names_its_line(tmp_path: Path, case: str) -> None:
    rows, options, sentence = WRONG[case]
    path = table(tmp_path, *rows)
    options = dict(options)
    if "lines" in options:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[: options.pop("lines")]))
    with pytest.raises(ManifestError, match=sentence):
        slides(path, **options)


def test_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no images found; searched for \.bmp \.jpeg"):
        find_patches(str(touch(tmp_path, "readme.txt")))
    with pytest.raises(ManifestError, match="no such folder or CSV file"):
        find_patches(str(tmp_path / "missing"))
    with pytest.raises(ManifestError, match="is one image; name its folder"):
        find_patches(str(touch(tmp_path, "a.png") / "a.png"))
    with pytest.raises(ManifestError, match="this machine's disks only"):
        find_patches("s3://bucket/set")


@pytest.mark.parametrize("text", ["columns", "column:", "auto:x", "column:,"])
def test_modes_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="labels must be one of auto, folder"):
        parse_mode(text)


def test_labels_follow_their_patches_through_the_order(tmp_path: Path) -> None:
    names = [f"{i:03}" for i in np.random.default_rng(0).permutation(50)]
    rows = [{"file": f"{n}.png", "label": n, "patient": str(int(n) % 3)} for n in names]
    for slide in slides(table(tmp_path, *rows)).values():
        assert slide.labels is not None
        told = [slide.labels.names[i] for i in slide.labels.values]
        assert told == [row.stem for row in slide.rows] == sorted(told)
