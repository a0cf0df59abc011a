"""Files that took work to make: each is made once, and the least recently used ones go.

A file is made under another name and renamed, so that what is seen is whole. Several processes may
share the folder; at worst each makes the same file.
"""

import contextlib
import errno
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.content.sending import tag
from service.errors import UnavailableError

LIMIT_BYTES = 8 << 30
"""Room for all files together, as they lie on the disk."""
LEFT_S = 3600
"""A file that nobody has written to for so long is of a process that was killed."""
UNFINISHED = ".unfinished-"
PATIENCE_S = 20.0
"""For so long a request waits for a file that another one is making."""


class MadeFiles:
    """A bounded folder of files; safe to share between threads.

    Args:
        folder: is made.
        limit_bytes: of all files; one that is larger lies there alone.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: tuple[Any, ...], ending: str, make: Callable[[Path], object]) -> Path:
        """Give a file; of several who ask for it at once, one makes it.

        Args:
            key: everything that the file depends on, JSON values.
            ending: of its name.
            make: writes it to a path.

        Raises:
            UnavailableError: the disk is full, or making it takes somebody else long.
        """
        path = self._folder / f"{tag(*key)}{ending}"
        if not self._touch(path):
            with self._alone(path.name):
                if not self._touch(path):
                    self._make(path, make)
        return path

    def _touch(self, path: Path) -> bool:
        """Note that a file is used; its time of access is ours, that of its change is its own."""
        try:
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._lock:
            mine = self._making.setdefault(name, threading.Lock())
        if not mine.acquire(timeout=PATIENCE_S):
            raise UnavailableError("this file is being made; ask again in a while")
        try:
            yield
        finally:
            mine.release()
            with self._lock:
                self._making.pop(name, None)

    def _make(self, path: Path, make: Callable[[Path], object]) -> None:
        temporary = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex[:8]}-{path.name}")
        try:
            make(temporary)
            temporary.replace(path)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UnavailableError("the disk of the service is full") from err
            raise
        finally:
            temporary.unlink(missing_ok=True)
        self.tidy(path)

    def tidy(self, kept: Path | None = None) -> None:
        """Delete what was not used for longest until the rest has room."""
        found = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                known = path.stat()
                if path.name.startswith(UNFINISHED) and time.time() - known.st_mtime < LEFT_S:
                    continue
                used = 0.0 if path.name.startswith(UNFINISHED) else known.st_atime
                found.append((used, 512 * known.st_blocks, path))
        room = self._limit - sum(size for _, size, _ in found)
        for used, size, path in sorted(found):
            if (room < 0 or not used) and path != kept:
                path.unlink(missing_ok=True)
                room += size
