"""Results of cells in a folder: each is there wholly or not at all, so that a run can go on.

A cell has two files: arrays (`.npz`, no pickle), and then its JSON, which names their hash.
"""

import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.float64]]

CELLS, PRETEXT = "cells", "pretext"
CONFIG = "config.json"
MARK = "experiment.json"
"""Says whose cells the folder holds; `config.json` beside it can be run again as it is."""

FORMAT = 1

Document = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What came of a cell: JSON values, and what it said of every test row."""

    document: Document
    arrays: "Arrays"


class CellStore:
    """The folder of an experiment.

    Args:
        folder: made where it does not exist.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).expanduser()

    def start(self, config: Mapping[str, Any], identity: str, *, overwrite: bool) -> None:
        """Take the folder for an experiment, or go on with the one that it holds.

        Args:
            config: all that was asked for.
            identity: of what decides on results; cells of another are not mixed in.
            overwrite: throw away the cells and the pretraining of another experiment.

        Raises:
            UsageError: the folder holds another experiment, or something else.
        """
        known = self._known_identity()
        if known not in (None, identity):
            if not overwrite:
                raise UsageError(
                    f"--out {self.folder} holds an experiment with other settings or other "
                    "patches; choose another folder, or use --overwrite"
                )
            for path in (self.folder / CELLS).glob("*"):
                path.unlink()
            shutil.rmtree(self.folder / PRETEXT, ignore_errors=True)
        self._write(self.folder / CONFIG, config)
        self._write(self.folder / MARK, {"format": FORMAT, "identity": identity})

    def read(self, name: str) -> Result | None:
        """Read a cell; None where it is not there, failed, or is not what was written."""
        import numpy as np

        try:
            document = json.loads(self._path(name, "json").read_text())
            data = self._path(name, "npz").read_bytes()
        except (FileNotFoundError, ValueError):
            return None
        if "error" in document or document["arrays_sha256"] != _sha256(data):
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return Result(document, dict(arrays))

    def failure(self, name: str) -> Document | None:
        """Read why a cell failed; None where it did not."""
        try:
            document: Document = json.loads(self._path(name, "json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return document if "error" in document else None

    def write(self, name: str, result: Result) -> None:
        """Write a cell; what an earlier run left of it is replaced."""
        import numpy as np

        from models.files import write_whole

        packed = io.BytesIO()
        np.savez(packed, **result.arrays)  # type: ignore[arg-type]  # its flag is not among them
        write_whole(self._path(name, "npz"), packed.getvalue())
        told = result.document | {"arrays_sha256": _sha256(packed.getvalue())}
        self._write(self._path(name, "json"), told)

    def fail(self, name: str, document: Document) -> None:
        """Write why a cell failed; it is tried again by the next run."""
        self._write(self._path(name, "json"), document)

    def write_text(self, name: str, text: str) -> str:
        """Write a file of the experiment; gives its path."""
        from models.files import write_whole

        write_whole(self.folder / name, text.encode())
        return str(self.folder / name)

    def _path(self, name: str, kind: str) -> Path:
        return self.folder / CELLS / f"{name}.{kind}"

    def _known_identity(self) -> str | None:
        try:
            return str(json.loads((self.folder / MARK).read_text())["identity"])
        except (FileNotFoundError, NotADirectoryError):
            there = self.folder.exists() and (self.folder.is_file() or any(self.folder.iterdir()))
        except (KeyError, ValueError):
            there = True
        if there:
            raise UsageError(f"--out {self.folder} holds other files; choose another folder")
        return None

    def _write(self, path: Path, document: Mapping[str, Any]) -> None:
        from models.files import write_whole

        write_whole(path, json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
