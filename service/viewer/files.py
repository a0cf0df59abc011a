"""The files of the pages, read once: what is not in this table cannot be asked for."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
VENDOR = "vendor/"
"""What others made lies here, in folders that name its version: it never changes."""

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
TEXT = "text/plain; charset=utf-8"
"""Licences, notices and readmes."""
WORTH_ZIPPING = 1024
"""Smaller files, in bytes, fit one packet anyway."""


@dataclass(frozen=True)
class ViewerFile:
    """One file as it is sent.

    Attributes:
        path: relative to the folder, with slashes.
        content: its bytes.
    """

    path: str
    content: bytes

    @cached_property
    def etag(self) -> str:
        """Digest of the content, in quotes."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @cached_property
    def zipped(self) -> bytes | None:
        """The content by gzip, or None where that gains nothing."""
        if len(self.content) < WORTH_ZIPPING:
            return None
        return gzip.compress(self.content, 6, mtime=0)

    @property
    def media_type(self) -> str:
        """Value of its Content-Type."""
        return MEDIA_TYPES.get(Path(self.path).suffix, TEXT)

    @property
    def lasting(self) -> bool:
        """Whether it may be kept without asking again."""
        return self.path.startswith(VENDOR)


def read_files(folder: Path = FOLDER) -> dict[str, ViewerFile]:
    """Read every file below the folder, by path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: ViewerFile(name, path.read_bytes()) for name, path in names.items()}
