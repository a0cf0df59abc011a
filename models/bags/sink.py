"""Where an exporter writes: every file under another name, hashed, flushed, renamed.

What is seen under its own name is whole. Knows no format.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.bags.hashed import HashedFile
from models.errors import BagError

TEMPORARY = ".*.tmp"
"""Pattern of the names of what is being written."""


@dataclass
class Sink:
    """The files of one slide, or of the whole cohort, in an export folder.

    Attributes:
        root: the export folder.
        files: what was written: `{path below root: [bytes, sha256]}`.
        warnings: sentences for `microtome.json`.
        notes: JSON values about this slide for `microtome.json` and for `finish`.
    """

    root: Path
    files: dict[str, list[Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    _renamed: set[Path] = field(default_factory=set)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give a path to write to; it becomes `name` when the block ends well.

        Raises:
            BagError: the disk is full, or the folder cannot be written.
        """
        with self._temporary(name) as (temporary, final):
            yield temporary
            self.files[name] = seal(temporary)
            temporary.replace(final)
            self._renamed.add(final.parent)

    @contextmanager
    def stream(self, name: str) -> Iterator[HashedFile]:
        """Give a file to write from beginning to end; it becomes `name` when the block ends well.

        Raises:
            BagError: the disk is full, or the folder cannot be written.
        """
        with self._temporary(name) as (temporary, final):
            with temporary.open("wb") as file, HashedFile(file) as hashed:
                yield hashed
                file.flush()
                os.fsync(file.fileno())
                self.files[name] = [hashed.size, hashed.hexdigest()]
            temporary.replace(final)
            self._renamed.add(final.parent)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Give a path beside `name` for a file that is removed at the end of the block.

        Raises:
            BagError: the disk is full, or the folder cannot be written.
        """
        with self._temporary(name) as (temporary, _):
            yield temporary

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Give a path of a folder to make; it becomes `name` when the block ends well.

        A folder that is there already is replaced.
        """
        with self._temporary(name) as (temporary, final):
            yield temporary
            for path in sorted(p for p in temporary.rglob("*") if p.is_file()):
                self.files[f"{name}/{path.relative_to(temporary).as_posix()}"] = seal(path)
            if final.exists():
                shutil.rmtree(final)
            temporary.rename(final)
            self._renamed.add(final.parent)

    def text(self, name: str, content: str) -> None:
        """Write a small text file as UTF-8."""
        with self.file(name) as path:
            path.write_text(content, encoding="utf-8", newline="")

    def flush(self) -> None:
        """Make the new names durable, at once for all files, before anything counts on them."""
        for folder in sorted(self._renamed):
            flush_folder(folder)
        self._renamed.clear()

    def warn(self, sentence: str) -> None:
        """Record what a person should know of this export."""
        self.warnings.append(sentence)

    @contextmanager
    def _temporary(self, name: str) -> Iterator[tuple[Path, Path]]:
        final = self.root / name
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            yield temporary, final
        except OSError as err:
            # HDF5 tells its whole stack instead of the reason
            reason = os.strerror(err.errno) if err.errno else str(err).splitlines()[0]
            raise BagError(f"cannot write {final}: {reason}") from err
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path) -> list[Any]:
    """Flush a file to disk, and hash it meanwhile; gives its bytes and SHA-256."""
    with path.open("rb") as file, ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(os.fsync, file.fileno())
        content = digest(path)
        flushed.result()
    return [path.stat().st_size, content]


def flush_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
