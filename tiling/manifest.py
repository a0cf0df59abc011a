"""The manifest: which slides to cut, and what is known of each (patient, site, label, mpp, split).

Reads the CSV a person wrote, and checks it as a whole; finds no files (see `tiling.collect`) and
opens no slide.

Columns, in any order; only the path is needed:

    slide_id, path, patient, site, label, mpp, split

Files written for other tools are read as they are: `wsi` (TRIDENT), `sample_id, image_path,
spacing_at_level_0` (hs2p), `case_id` and a `slide_id` that is the file name (CLAM's process list).
Any other column is kept in `ManifestRow.extra`, so hs2p's `mask_path` is there for who wants it.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tiling.errors import ManifestError
from tiling.slide_ids import safe_slide_id, slide_id_from_path

ALIASES: Mapping[str, tuple[str, ...]] = {
    "slide_id": ("sample_id",),
    "path": ("wsi", "image_path", "wsi_path", "slide_path", "file", "filename"),
    "patient": ("patient_id", "case_id"),
    "site": ("site_id", "center", "centre"),
    "label": (),
    "mpp": ("spacing_at_level_0", "spacing"),
    "split": (),
}
"""Our column, and the names that other tools give it; our own name wins where a file has both."""

MAX_SHOWN = 20
"""Errors that one message lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One slide of a run."""

    slide_id: str
    """Name of the slide's group in the archive; obeys the rules of `tiling.slide_ids`."""
    path: str
    """Absolute path or URL of the slide."""
    patient: str | None = None
    """Patient, the unit of train/test splits."""
    site: str | None = None
    """Hospital or scanner, the unit of federated training."""
    label: str | None = None
    """Label of the slide, as written."""
    mpp: float | None = None
    """Microns per pixel at level 0; overrides what the file says."""
    split: str | None = None
    """Name of the split, such as train, val or test."""
    line: int | None = None
    """Line of the manifest, counted from 1 with the header; None where there was no manifest."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Every other column with a value; `slide_id_given` where the id had to be made safe."""


def read_manifest(path: str | Path, *, check_files: bool = False) -> tuple[ManifestRow, ...]:
    """Read a CSV manifest (UTF-8; comma, semicolon or tab), in the order of its lines.

    Args:
        path: file or URL; relative slide paths in it are relative to its folder.
        check_files: also report local slides that do not exist.

    Raises:
        ManifestError: one error that lists every problem with its line number.
    """
    name = PurePosixPath(str(path).replace("\\", "/")).name
    lines = records(read_text(str(path), name), name)
    _, header = next(lines, (0, []))
    columns = _columns(header, name)
    rows: list[ManifestRow] = []
    problems: list[str] = []
    for line, values in lines:
        row = _row(line, values, columns, _folder(str(path)))
        where = f"{name} line {line}: "
        if isinstance(row, ManifestRow):
            rows.append(row)
            missing = check_files and "://" not in row.path and not Path(row.path).exists()
            row_problems = [f"no such file: {row.path}"] if missing else []
        else:
            row_problems = row
        problems += [where + problem for problem in row_problems]
    if not rows and not problems:
        problems.append(f"{name}: no slides, only a header")
    raise_problems([*problems, *clashes(rows, name)])
    return tuple(rows)


def clashes(rows: Sequence[ManifestRow], name: str = "") -> list[str]:
    """Return a sentence for each two slides that share an id or a path.

    Ids are compared without case, because an archive may land on a file system that has none.
    """
    problems: list[str] = []
    by_id: dict[str, ManifestRow] = {}
    by_path: dict[str, ManifestRow] = {}
    for row in rows:
        first = by_path.setdefault(row.path, row)
        if first is not row:
            problems.append(f"{_both(first, row, name)} name the same slide, {row.path}")
            continue
        first = by_id.setdefault(row.slide_id.casefold(), row)
        if first is not row:
            ids = f'"{row.slide_id}"'
            if first.slide_id != row.slide_id:
                ids = f'"{first.slide_id}" and "{row.slide_id}" (equal where case is ignored)'
            problems.append(
                f"{_both(first, row, name)} have the same slide_id {ids}: "
                f"{first.path} and {row.path}; "
                "give different ids in the column slide_id of a manifest"
            )
    return problems


def raise_problems(problems: Sequence[str]) -> None:
    """Raise one ManifestError that lists the problems, if there are any."""
    if problems:
        shown = list(problems[:MAX_SHOWN])
        if len(problems) > MAX_SHOWN:
            shown.append(f"... and {len(problems) - MAX_SHOWN} more problems")
        raise ManifestError("\n".join(shown))


def _both(first: ManifestRow, second: ManifestRow, name: str) -> str:
    if first.line is None or second.line is None:
        return "two slides"
    return f"{name} lines {first.line} and {second.line}"


def read_text(path: str, name: str) -> str:
    """Read a table (path or URL) as UTF-8 text.

    Raises:
        ManifestError: it cannot be read; the message calls it `name`.
    """
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ManifestError(f"{name}: not UTF-8 text ({err}); save it as CSV UTF-8") from err
    except OSError as err:
        raise ManifestError(f"{path}: cannot read the manifest: {err.strerror or err}") from err


def _read_bytes(path: str) -> bytes:
    if "://" not in path:
        return Path(path).read_bytes()
    import fsspec

    with fsspec.open(path, "rb") as file:
        data: bytes = file.read()
    return data


def _folder(path: str) -> str:
    """Return the manifest's folder: an absolute path, or a URL without its last part."""
    return path.rsplit("/", 1)[0] if "://" in path else str(Path(path).absolute().parent)


def records(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line's number and the stripped values of each record that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    line = 1
    try:
        for values in reader:
            stripped = [value.strip() for value in values]
            if any(stripped):
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as err:
        raise ManifestError(f"{name} line {line}: not CSV: {err}") from err


def _delimiter(text: str) -> str:
    """Return what separates the header's columns; many countries' spreadsheets write semicolons."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=header.count)


def _columns(header: list[str], name: str) -> list[str]:
    """Return our name of each column, the file's own where it is none of ours.

    Where a file has a slide_id and no path, as CLAM's process list, the slide_id is the path.
    """
    if not header:
        raise ManifestError(f"{name}: empty; it needs a header with at least the column path")
    names = [column.lower() for column in header]
    problems = [
        f"two columns are named {n!r}" for n in sorted(set(names)) if names.count(n) > 1 and n
    ]
    for ours, aliases in ALIASES.items():
        found = [alias for alias in aliases if alias in names]
        if ours not in names and len(found) > 1:
            problems.append(f"the columns {' and '.join(found)} both mean {ours}")
        elif ours not in names and found:
            names[names.index(found[0])] = ours
    if "path" not in names and "slide_id" in names:
        names[names.index("slide_id")] = "path"
    if "path" not in names:
        alternatives = ", ".join(ALIASES["path"])
        problems.append(f"no column path (or {alternatives}) among {', '.join(header)}")
    raise_problems([f"{name} line 1: {problem}" for problem in problems])
    return names


def _row(line: int, values: list[str], columns: list[str], folder: str) -> ManifestRow | list[str]:
    """Return the row, or what is wrong with it."""
    if any(values[len(columns) :]):
        return [f"{len(values)} values under {len(columns)} columns; quote values that hold commas"]
    known = {c: v for c, v in zip(columns, values, strict=False) if v}
    problems = [] if "path" in known else ["path is empty"]
    mpp = _positive(known.get("mpp"))
    if isinstance(mpp, str):
        problems.append(mpp)
    if problems or isinstance(mpp, str):
        return problems
    extra = {c: v for c, v in known.items() if c not in ALIASES}
    given = known.get("slide_id")
    slide_id = slide_id_from_path(known["path"]) if given is None else safe_slide_id(given)
    if given is not None and given != slide_id:
        extra["slide_id_given"] = given
    texts = {c: known.get(c) for c in ("patient", "site", "label", "split")}
    path = _absolute(known["path"], folder)
    return ManifestRow(slide_id=slide_id, path=path, mpp=mpp, line=line, extra=extra, **texts)


def _positive(text: str | None) -> float | str | None:
    """Return the number, a sentence when it is none, None when there is none."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value > 0:
        return value
    return f'mpp must be a positive number, got "{text}"'


def _absolute(path: str, folder: str) -> str:
    if "://" in path:
        return path
    if "://" in folder:
        return path if path.startswith("/") else f"{folder}/{path}"
    return str((Path(folder) / Path(path).expanduser()).absolute())
