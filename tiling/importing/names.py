"""What file names of patch sets say: labels in brackets, and the slide they were cut from.

Two conventions, both of Han et al., Medical Image Analysis 80:102487 (2022), as the data sets' own
read-me files describe them:

* LUAD-HistoSeg: `<patient>-<x>-<y>-[a b c d].png`, classes TE, NEC, LYM, TAS;
* BCSS-WSSS: `<slide>_xmin<x>_ymin<y>_MPP-<mpp>+<index>[abcd].png`, classes TUM, STR, LYM, NEC.

Names of their validation and test images carry no label. Nothing here reads a file.
"""

import re
from typing import NamedTuple

LUAD_CLASSES = ("TE", "NEC", "LYM", "TAS")
"""Tumour epithelium, necrosis, lymphocytes, tumour-associated stroma."""

BCSS_CLASSES = ("TUM", "STR", "LYM", "NEC")
"""Tumour, stroma, lymphocytic infiltrate, necrosis."""

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of folders that are splits, and the split."""

_LUAD_LABEL = re.compile(r"[01](?: [01])*")
_BCSS_LABEL = re.compile(r"[01]+")
_LUAD_SLIDE = re.compile(r"(?P<slide>\d+)-\d+-\d+(?:-\[[^\]]*\])?")
_BCSS_SLIDE = re.compile(r"(?P<slide>.+)_xmin\d+_ymin\d+_MPP-[\d.]+\+\d+(?:\[[^\]]*\])?")


class NameLabel(NamedTuple):
    """A label of a file name: 1 or 0 per class, and whether blanks stand between them."""

    values: tuple[int, ...]
    spaced: bool


def label_in_name(stem: str) -> NameLabel | None:
    """Read the label of a file name without its extension; None where there is none.

    It stands between the last `[` and the `]` at the end.
    """
    before, bracket, after = stem.rpartition("[")
    text = after.removesuffix("]")
    if not bracket or text == after:
        return None
    del before
    if _BCSS_LABEL.fullmatch(text):
        return NameLabel(tuple(map(int, text)), spaced=False)
    if _LUAD_LABEL.fullmatch(text):
        return NameLabel(tuple(map(int, text.split(" "))), spaced=True)
    return None


def default_classes(label: NameLabel) -> tuple[str, ...] | None:
    """Give the class names of the convention that a label is written in; None where it is none."""
    classes = LUAD_CLASSES if label.spaced else BCSS_CLASSES
    return classes if len(label.values) == len(classes) else None


def slide_in_name(stem: str) -> str | None:
    """Give the patient (LUAD-HistoSeg) or the slide (BCSS) that a file name begins with."""
    found = _LUAD_SLIDE.fullmatch(stem) or _BCSS_SLIDE.fullmatch(stem)
    return found["slide"] if found else None


def split_of(folders: tuple[str, ...]) -> str:
    """Give the split that one of the folders is named after; empty where none is."""
    return next((SPLITS[f.lower()] for f in folders if f.lower() in SPLITS), "")
