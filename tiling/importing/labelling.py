"""Which label each patch of a set has, by what was asked for: a column, folders, or file names."""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tiling.errors import ManifestError
from tiling.importing.names import default_classes, label_in_name
from tiling.importing.rows import PatchSet, Row, informative_folders
from tiling.importing.tables import find_column
from tiling.labels import UNKNOWN, Labels
from tiling.manifest import raise_problems

MODES = ("auto", "folder", "name", "none", "column:NAME[,NAME…]")

STATES = {"1": 1, "0": 0, "-1": UNKNOWN, "": UNKNOWN}
"""What columns of several labels hold."""

log = logging.getLogger(__name__)


class Mode(NamedTuple):
    """How labels are found: `auto`, `folder`, `name`, `none` or `column`, and the columns."""

    kind: str
    columns: tuple[str, ...] = ()


def parse_mode(text: str) -> Mode:
    """Read `auto`, `folder`, `name`, `none`, or `column:NAME` with further names after commas.

    Raises:
        ValueError: it is none of them.
    """
    kind, _, rest = text.partition(":")
    columns = tuple(name.strip() for name in rest.split(",") if name.strip())
    if (kind in ("auto", "folder", "name", "none") and not rest) or (kind == "column" and columns):
        return Mode(kind, columns)
    raise ValueError(f"labels must be one of {', '.join(MODES)}, got {text!r}")


def label_patches(patches: PatchSet, mode: Mode, classes: Sequence[str] = ()) -> Labels | None:
    """Give the labels of all rows, in their order; None where there are none.

    `auto` takes the column `label` of a CSV, else labels in brackets in any file name, else, of a
    folder, the folders right above the images where there are several.

    Args:
        patches: the set.
        mode: where labels are.
        classes: names of the classes in their order; by default those of the convention (see
            `tiling.importing.names`), the columns', or what occurs, sorted.

    Raises:
        ManifestError: labels are missing where they were asked for, or are none of the classes.
    """
    chosen = _automatic(patches) if mode.kind == "auto" else mode
    if chosen.kind == "none":
        return None
    if chosen.kind == "name":
        return _from_names(patches.rows, classes)
    if chosen.kind == "folder":
        return _from_texts(patches.rows, [_folder(row) for row in patches.rows], classes)
    columns = [find_column(patches.columns, c, patches.location) for c in chosen.columns]
    if len(columns) > 1:
        return _from_columns(patches.rows, columns, classes)
    texts = [row.values.get(columns[0], "") for row in patches.rows]
    return _from_texts(patches.rows, texts, classes)


def labels_by_folder(patches: PatchSet, mode: Mode) -> bool:
    """Whether the folders right above the images are their labels."""
    return (_automatic(patches) if mode.kind == "auto" else mode).kind == "folder"


def _automatic(patches: PatchSet) -> Mode:
    if "label" in patches.columns:
        return Mode("column", ("label",))
    if any(label_in_name(row.stem) for row in patches.rows):
        return Mode("name")
    several = len({_folder(row) for row in patches.rows}) > 1
    return Mode("folder" if several and not patches.columns else "none")


def _folder(row: Row) -> str:
    return next(reversed(informative_folders(row)), "")


def _from_texts(rows: Sequence[Row], texts: Sequence[str], classes: Sequence[str]) -> Labels:
    names = tuple(classes) or tuple(sorted(set(texts) - {""}))
    if not names:
        raise ManifestError("no patch has a label; say where labels are with --labels")
    index = {name: i for i, name in enumerate(names)} | {"": UNKNOWN}
    raise_problems(
        [
            f"{row.where}: the label {text!r} is none of the classes {', '.join(names)}"
            for row, text in zip(rows, texts, strict=True)
            if text not in index
        ]
    )
    return Labels(np.array([index[text] for text in texts], np.int32), names, "classes")


def _from_columns(rows: Sequence[Row], columns: Sequence[str], classes: Sequence[str]) -> Labels:
    names = _named(columns, classes, f"{len(columns)} columns")
    raise_problems(
        [
            f"{row.where}: {column} must be 1, 0, -1 or empty, got {row.values[column]!r}"
            for row in rows
            for column in columns
            if row.values.get(column, "") not in STATES
        ]
    )
    states = [[STATES[row.values.get(column, "")] for column in columns] for row in rows]
    return Labels(np.array(states, np.int8), names, "multilabel")


def _from_names(rows: Sequence[Row], classes: Sequence[str]) -> Labels:
    found = [label_in_name(row.stem) for row in rows]
    first = next((label for label in found if label), None)
    if first is None:
        raise ManifestError("no file name has a label in brackets, such as [1 0 0 1] or [1001]")
    width = len(first.values)
    raise_problems(
        [
            f"{row.where}: a label of {len(label.values)} classes, others have {width}"
            for row, label in zip(rows, found, strict=True)
            if label and len(label.values) != width
        ]
    )
    default = default_classes(first) or tuple(f"class{i}" for i in range(width))
    if not classes:
        log.warning("classes of the file names are taken to be %s", ", ".join(default))
    names = _named(default, classes, f"labels of {width} classes")
    unknown = (UNKNOWN,) * width
    values = [label.values if label else unknown for label in found]
    return Labels(np.array(values, np.int8), names, "multilabel")


def _named(default: Iterable[str], classes: Sequence[str], what: str) -> tuple[str, ...]:
    names = tuple(classes) or tuple(default)
    if len(names) != len(tuple(default)):
        raise ManifestError(f"there are {len(names)} names in --classes for {what}")
    return names
