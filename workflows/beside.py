"""The files that a run leaves beside an archive: its record, its failures and its report."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError

if TYPE_CHECKING:
    from tiling.storage import Storage

RUN = "run.json"
FAILURES = "failures.csv"
REPORT = "report.html"

FAILURE_COLUMNS = ("slide_id", "path", "cause", "error")


def split_location(location: str) -> tuple[str, str]:
    """Split a path or URL into its folder and its name.

    Raises:
        UsageError: it is the root of a disk or a bucket.
    """
    protocol, remote, path = location.removeprefix("file://").rpartition("://")
    if remote:
        parent, _, name = path.rstrip("/").rpartition("/")
        folder = f"{protocol}://{parent}" if parent else ""
    else:
        local = Path(path).expanduser().absolute()
        folder, name = str(local.parent), local.name
    if not folder or not name:
        raise UsageError(f"{location} is the root of a disk or bucket; name something in it")
    return folder, name


def write_file(location: str, data: bytes) -> str:
    """Write one file at once, on disk or in a bucket; gives its path or URL."""
    from tiling.storage import open_storage

    parent, name = split_location(location)
    open_storage(parent).write(name, [data])
    return location


class Beside:
    """The place right beside an archive, on disk or in a bucket.

    Raises:
        UsageError: the archive is the root of a disk or a bucket, so nothing can lie beside it.
    """

    def __init__(self, archive: str) -> None:
        from tiling.storage import open_storage

        self._parent, self._name = split_location(archive)
        self._storage: Storage = open_storage(self._parent)

    def location(self, kind: str) -> str:
        """Path or URL of a file of this kind."""
        return f"{self._parent.rstrip('/')}/{self._name}.{kind}"

    def write(self, kind: str, data: bytes) -> str:
        """Write a file of this kind, at once; gives its path or URL."""
        self._storage.write(f"{self._name}.{kind}", [data])
        return self.location(kind)

    def read(self, kind: str) -> bytes | None:
        """Read a file of this kind; None where there is none."""
        try:
            return self._storage.read(f"{self._name}.{kind}")
        except FileNotFoundError:
            return None

    def remove(self, kind: str) -> None:
        """Remove a file of this kind, if it is there."""
        if self._storage.exists(f"{self._name}.{kind}"):
            self._storage.delete(f"{self._name}.{kind}")

    def write_json(self, kind: str, document: Mapping[str, Any]) -> str:
        """Write a JSON file."""
        return self.write(kind, json.dumps(document, indent=1).encode() + b"\n")

    def read_json(self, kind: str) -> dict[str, Any] | None:
        """Read a JSON file; None where there is none or it is damaged."""
        data = self.read(kind)
        try:
            document = None if data is None else json.loads(data)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None


def failures_csv(failures: Iterable[Mapping[str, Any]]) -> bytes:
    """Give failed slides as CSV; formulas of spreadsheets are made harmless."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(FAILURE_COLUMNS)
    for failure in failures:
        writer.writerow([_harmless(str(failure[column])) for column in FAILURE_COLUMNS])
    return text.getvalue().encode()


def _harmless(cell: str) -> str:
    # a slide named =HYPERLINK(…) must not run in a spreadsheet; OWASP, "CSV Injection"
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
