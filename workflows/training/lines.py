"""What a training process says to the one that started it: JSON lines in a file between them.

A file keeps what was said when its writer dies, and several processes may add to it.
"""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

Kind = Literal["line", "result", "error"]


class Said(NamedTuple):
    """One thing that was said.

    Attributes:
        kind: a line of the function, its result, or what it failed of.
        value: JSON.
    """

    kind: Kind
    value: dict[str, Any]


class LineWriter:
    """Adds to the file; each line is whole, whoever else writes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, kind: Kind, value: dict[str, Any]) -> None:
        """Add a line by one call of the system, which sets it after all others."""
        self._file.write(json.dumps([kind, value]).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LineReader:
    """Reads what has been added since it last looked."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")
        self._begun = b""

    def read(self) -> list[Said]:
        """Give the whole lines; the beginning of one waits for its end."""
        *whole, self._begun = (self._begun + self._file.read()).split(b"\n")
        return [Said(*json.loads(line)) for line in whole]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
