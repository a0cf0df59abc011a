"""A folder: objects are written under another name, flushed, and renamed."""

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tiling.errors import StoreError
from tiling.storage.base import SCRATCH, Storage

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Name of a file that is being written; it is renamed when it is whole."""

ATTEMPTS = 100
"""Times a file is begun before a folder that keeps vanishing is an error."""

Data = TypeVar("Data")


class LocalStorage(Storage):
    """A folder. Objects are written under another name, flushed, and renamed."""

    def _path(self, key: str) -> Path:
        return Path(self.root, key)

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        return self._path(key).read_bytes()

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """See `Storage.read_range`."""
        with self._path(key).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            first = max(0, end + start) if start < 0 else start
            file.seek(first)
            return file.read((end if start < 0 else stop) - first)

    def write(self, key: str, parts: Sequence[bytes]) -> None:
        """See `Storage.write`."""
        path = self._path(key)
        try:
            _insist(_write, path, parts)
        except OSError as err:
            raise StoreError(err.errno, f"cannot write {path}: {err.strerror}") from err

    def create(self, key: str, data: bytes) -> bool:
        """See `Storage.create`; whole at once, since it is linked when it is complete."""
        path = self._path(key)
        try:
            return _insist(_create, path, data)
        except OSError as err:
            raise StoreError(err.errno, f"cannot create {path}: {err.strerror}") from err

    def exists(self, key: str) -> bool:
        """See `Storage.exists`."""
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        """See `Storage.size`."""
        return self._path(key).stat().st_size

    def names(self, prefix: str) -> list[str]:
        """See `Storage.names`."""
        try:
            return sorted(entry.name for entry in self._path(prefix).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def delete(self, prefix: str) -> None:
        """See `Storage.delete`."""
        path = self._path(prefix)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def prune(self, prefix: str) -> None:
        """See `Storage.prune`."""
        for folder, _, _ in os.walk(self._path(prefix), topdown=False):
            with contextlib.suppress(OSError):  # not empty, or somebody else was faster
                Path(folder).rmdir()

    def tidy(self, prefix: str) -> None:
        """See `Storage.tidy`; a write that is alive nevertheless begins again."""
        for name in self.names(prefix):
            if TEMPORARY.fullmatch(name):
                (self._path(prefix) / name).unlink(missing_ok=True)

    def staging(self, final: str, token: str) -> str:
        """See `Storage.staging`: beside the finished slides, out of sight.

        What lies within a slide has a flat name there, too: `Leases.sweep` looks at names only.
        """
        name = hashlib.sha256(final.encode()).hexdigest()[:32] if "/" in final else final
        return f"{SCRATCH}/staging/{name}.{token}"

    def publish(self, staged: str, final: str, marker: str, data: bytes) -> None:
        """See `Storage.publish`: one rename, or one exchange where `final` is there already."""
        self.write(f"{staged}/{marker}", [data])
        source, target = self._path(staged), self._path(final)
        try:
            for left in source.rglob(".*.tmp"):  # by a worker that was killed while it wrote
                left.unlink(missing_ok=True)
            if target.exists():
                _exchange(source, target)
                shutil.rmtree(source, ignore_errors=True)
            else:
                source.rename(target)
            _flush_folder(target.parent)
        except OSError as err:
            raise StoreError(err.errno, f"cannot commit {target}: {err.strerror}") from err


def _insist(write: Callable[[Path, Path, Data], bool], path: Path, data: Data) -> bool:
    """Write by way of another name; again where another run, ending, took the empty folder away."""
    for left in reversed(range(ATTEMPTS)):
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write(temporary, path, data)
        except FileNotFoundError:
            if not left:
                raise
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    return False


def _write(temporary: Path, path: Path, parts: Sequence[bytes]) -> bool:
    with temporary.open("wb", buffering=1 << 20) as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return True


def _create(temporary: Path, path: Path, data: bytes) -> bool:
    temporary.write_bytes(data)
    return _link(temporary, path)


def _link(source: Path, target: Path) -> bool:
    """Make `target` exclusively and whole; file systems without links get it merely exclusively."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError:  # FAT, some network and container file systems
        return _copy_exclusively(source, target)
    return True


def _copy_exclusively(source: Path, target: Path) -> bool:
    data = source.read_bytes()
    try:
        with target.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(source: Path, target: Path) -> None:
    """Swap two folders in one step; where the kernel cannot, in two renames.

    `renameat2(2)` with RENAME_EXCHANGE (2): Linux 3.15 and most of its file systems.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    here = -100  # AT_FDCWD
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(here, os.fsencode(source), here, os.fsencode(target), 2)
        if not failed:
            return
        if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    aside = source.with_name(f"{source.name}.old")
    target.rename(aside)
    source.rename(target)
    aside.rename(source)
