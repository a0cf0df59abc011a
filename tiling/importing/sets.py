"""A set of patches as slides: who they are of, what is known of them, where each patch lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from tiling.errors import ManifestError
from tiling.importing.labelling import Mode, label_patches, labels_by_folder
from tiling.importing.names import slide_in_name
from tiling.importing.rows import PatchSet, Row, informative_folders
from tiling.importing.tables import find_column
from tiling.labels import Labels
from tiling.manifest import raise_problems
from tiling.slide_ids import safe_slide_id

PER_SLIDE = ("patient", "site", "split", "slide_label", "mpp")
"""Columns that have one value for all patches of a slide."""


@dataclass(frozen=True)
class SlideSet:
    """The patches of one slide, in the order in which they are stored.

    Attributes:
        rows: its patches.
        labels: of them; None where the set has none.
        coords: x, y `(N, 2)` in level-0 pixels; None where the CSV gives none.
        mpp: microns per pixel of the files; None where it is not known.
    """

    slide_id: str
    rows: tuple[Row, ...]
    labels: Labels | None = None
    coords: NDArray[np.int32] | None = None
    patient: str = ""
    site: str = ""
    split: str = ""
    label: str = ""
    mpp: float | None = None


def group_slides(
    patches: PatchSet, by: str, labels: Mode, classes: Sequence[str] = ()
) -> list[SlideSet]:
    """Group patches by slide; slides are sorted by ID, and patches by place or by file name.

    Args:
        patches: the set.
        by: `folder`, `name` (of the file, by the conventions of `tiling.importing.names`), `one`
            for a single slide, or a column; `auto` takes the column slide_id, else patient, else
            the names, else the folders.
        labels: where labels are.
        classes: their names.

    Raises:
        ManifestError: what belongs to a slide differs between its patches; problems name lines.
    """
    found = label_patches(patches, labels, classes)
    names = _slide_names(patches, by, labels)
    members: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    _require_distinct(members)
    problems: list[str] = []
    slides = []
    for name in sorted(members, key=safe_slide_id):
        rows = [patches.rows[i] for i in members[name]]
        problems += _inconsistent(name, rows)
        if not problems:
            slides.append(_slide(name, rows, _of(found, members[name])))
    raise_problems(problems)
    return slides


def _of(labels: Labels | None, members: list[int]) -> Labels | None:
    return None if labels is None else Labels(labels.values[members], labels.names, labels.kind)


def _slide_names(patches: PatchSet, by: str, labels: Mode) -> list[str]:
    if by == "one":
        return [patches.name] * len(patches.rows)
    if by == "name":
        return _by_name(patches)
    if by == "folder":
        return _by_folder(patches, classes_too=labels_by_folder(patches, labels))
    if by != "auto":
        return _by_column(patches, find_column(patches.columns, by, "--slide-by"))
    for column in ("slide_id", "patient"):
        if column in patches.columns:
            return _by_column(patches, column)
    if all(slide_in_name(row.stem) for row in patches.rows):
        return _by_name(patches)
    return _by_folder(patches, classes_too=labels_by_folder(patches, labels))


def _by_column(patches: PatchSet, column: str) -> list[str]:
    raise_problems(
        [
            f"{row.where}: {column} is empty, so there is no slide; --slide-by names another column"
            for row in patches.rows
            if column not in row.values
        ]
    )
    return [row.values[column] for row in patches.rows]


def _by_name(patches: PatchSet) -> list[str]:
    found = [slide_in_name(row.stem) for row in patches.rows]
    raise_problems(
        [
            f"{row.where}: the name is neither <patient>-<x>-<y> nor <slide>_xmin…_ymin…_MPP-…"
            for row, name in zip(patches.rows, found, strict=True)
            if name is None
        ]
    )
    return [name or "" for name in found]


def _by_folder(patches: PatchSet, *, classes_too: bool) -> list[str]:
    """Name slides after folders; those of the classes are no slides."""
    names = []
    for row in patches.rows:
        folders = row.folders
        if classes_too and informative_folders(row):
            last = informative_folders(row)[-1]
            folders = tuple(f for i, f in enumerate(folders) if i != _last_index(folders, last))
        names.append("/".join(folders) or patches.name)
    return names


def _last_index(folders: tuple[str, ...], name: str) -> int:
    return len(folders) - 1 - folders[::-1].index(name)


def _require_distinct(members: dict[str, list[int]]) -> None:
    seen: dict[str, str] = {}
    for name in members:
        other = seen.setdefault(safe_slide_id(name).casefold(), name)
        if other != name:
            raise ManifestError(
                f"the slides {other!r} and {name!r} would both be {safe_slide_id(name)!r} in the "
                "archive; rename one"
            )


def _inconsistent(name: str, rows: Sequence[Row]) -> list[str]:
    problems = []
    for column in PER_SLIDE:
        first = rows[0]
        value = first.values.get(column, "")
        other = next((row for row in rows if row.values.get(column, "") != value), None)
        if other is not None:
            problems.append(
                f"the slide {name!r} has more than one {column}: {value!r} ({first.where}) and "
                f"{other.values.get(column, '')!r} ({other.where}); correct it, or group by "
                "something else with --slide-by"
            )
    with_place = [row for row in rows if "x" in row.values and "y" in row.values]
    if with_place and len(with_place) < len(rows):
        lacking = next(row for row in rows if row not in with_place)
        problems.append(f"{lacking.where}: x or y is empty; give both for all or for none")
    for row in rows:
        problems += _bad_numbers(row)
    return problems


def _bad_numbers(row: Row) -> list[str]:
    problems = []
    for column in ("x", "y"):
        text = row.values.get(column, "0")
        if _whole(text) is None:
            problems.append(f"{row.where}: {column} must be a whole number of pixels, got {text!r}")
    mpp = row.values.get("mpp")
    if mpp is not None and not _number(mpp) > 0:
        problems.append(f"{row.where}: mpp must be a positive number, got {mpp!r}")
    return problems


def _number(text: str) -> float:
    """Read a number; NaN where it is none, or not finite."""
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if isfinite(value) else float("nan")


def _whole(text: str) -> int | None:
    value = _number(text)
    return int(value) if value == value // 1 and abs(value) < 2**31 else None


def _slide(name: str, rows: Sequence[Row], labels: Labels | None) -> SlideSet:
    placed = all("x" in row.values and "y" in row.values for row in rows)
    places = [[_whole(row.values[c]) if placed else 0 for c in ("x", "y")] for row in rows]
    coords = np.array(places, np.int32).reshape(-1, 2)
    order = sorted(
        range(len(rows)), key=lambda i: (coords[i, 1], coords[i, 0], rows[i].name.split("/"))
    )
    known = rows[0].values
    mpp = known.get("mpp")
    return SlideSet(
        slide_id=safe_slide_id(name),
        rows=tuple(rows[i] for i in order),
        labels=_of(labels, order),
        coords=coords[order] if placed else None,
        patient=known.get("patient", ""),
        site=known.get("site", ""),
        split=known.get("split", ""),
        label=known.get("slide_label", ""),
        mpp=None if mpp is None else float(mpp),
    )
