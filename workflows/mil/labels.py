"""Labels of slides or patients from a CSV file."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.config import nearest
from workflows.errors import UsageError

if TYPE_CHECKING:
    from models.mil.cohort import Labels

SLIDE = ("slide_id", "slide", "sample_id")
PATIENT = ("patient", "patient_id", "case_id")
"""Names of columns, our own first; the others are those of tools whose tables people have."""


def read_labels(file: str, column: str) -> "Labels":
    """Read labels from a CSV file (UTF-8; comma, semicolon or tab).

    A column `slide_id` or `patient` says whose label it is; with both, labels are of slides and
    the patients replace those of the archive. An empty label is no label.

    Args:
        file: path.
        column: that holds the label.

    Raises:
        UsageError: the file cannot be read, a column is missing, or two lines disagree.
    """
    from models.mil.cohort import Labels

    lines = _read(file)
    header = lines[0][1] if lines else {}
    slide = next((name for name in SLIDE if name in header), None)
    patient = next((name for name in PATIENT if name in header), None)
    if slide is None and patient is None:
        raise UsageError(f"{file} needs a column slide_id or patient; it has {_list(header)}")
    if column not in header:
        raise UsageError(f"{file} has no column {column!r}; {nearest(column, header)}")
    of_slide: dict[str, str] = {}
    of_patient: dict[str, str] = {}
    patient_of: dict[str, str] = {}
    for line, row in lines:
        where = f"{file} line {line}"
        target, key = (of_patient, row[str(patient)]) if slide is None else (of_slide, row[slide])
        _put(target, key, row[column], where)
        if slide is not None and patient is not None:
            _put(patient_of, key, row[patient], where)
    return Labels(of_slide, of_patient, patient_of)


def _read(file: str) -> list[tuple[int, dict[str, str]]]:
    """Lines with their numbers, as values by column."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as err:
        raise UsageError(f"cannot read the labels {file}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise UsageError(f"the labels {file} are not UTF-8 text: {err}") from err
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter, restval="")
    rows = [
        (n, {k.strip(): str(v).strip() for k, v in row.items() if k})
        for n, row in enumerate(reader, start=2)
    ]
    if not rows:
        raise UsageError(f"the labels {file} have no line below the header")
    return rows


def _put(target: dict[str, str], key: str, value: str, where: str) -> None:
    if not key or not value:
        return
    if target.setdefault(key, value) != value:
        raise UsageError(f"{where}: {key} has {value!r} here and {target[key]!r} before")


def _list(names: dict[str, str]) -> str:
    return ", ".join(names) or "no columns"
