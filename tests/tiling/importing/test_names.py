"""File names of the two conventions, as the read-me files of the data sets show them."""

import pytest

from tiling.importing.names import (
    BCSS_CLASSES,
    LUAD_CLASSES,
    default_classes,
    label_in_name,
    slide_in_name,
    split_of,
)

LUAD = "1031280-2300-27920-[1 0 0 1]"
BCSS = "TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MPP-0.2500+0[1101]"


def test_a_luad_name_tells_label_and_patient() -> None:
    label = label_in_name(LUAD)
    assert label == ((1, 0, 0, 1), True)
    assert default_classes(label) == LUAD_CLASSES == ("TE", "NEC", "LYM", "TAS")
    assert slide_in_name(LUAD) == slide_in_name("1031280-2300-27920") == "1031280"


def test_a_bcss_name_tells_label_and_slide() -> None:
    label = label_in_name(BCSS)
    assert label == ((1, 1, 0, 1), False)
    assert default_classes(label) == BCSS_CLASSES == ("TUM", "STR", "LYM", "NEC")
    assert slide_in_name(BCSS) == slide_in_name(BCSS[:-6]) == "TCGA-A1-A0SK-DX1"


@pytest.mark.parametrize(
    ("stem", "values"),
    [
        ("a[1]", (1,)),
        ("a-[0 1]", (0, 1)),
        ("[x]a[10]", (1, 0)),
        ("a", None),
        ("a[]", None),
        ("a[2]", None),
        ("a[1 ]", None),
        ("a[1  0]", None),
        ("a[10]b", None),
        ("a10]", None),
        ("a[10", None),
    ],
)
def test_only_ones_and_zeros_in_brackets_at_the_end_are_labels(
    stem: str, values: tuple[int, ...] | None
) -> None:
    label = label_in_name(stem)
    assert (None if label is None else label.values) == values


def test_other_widths_have_no_default_classes() -> None:
    label = label_in_name("a[101]")
    assert label is not None
    assert default_classes(label) is None


@pytest.mark.parametrize("stem", ["train0001-[1 0 0 0]", "1-2", "a-1-2", "slide_xmin1_ymin2"])
def test_other_names_tell_no_slide(stem: str) -> None:
    assert slide_in_name(stem) is None


def test_folders_may_be_splits() -> None:
    assert split_of(("Data", "Validation", "img")) == "val"
    assert split_of(("train", "a")) == "train"
    assert split_of(("a", "b")) == ""
