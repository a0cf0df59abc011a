"""Archives in whose use processes die at a chosen step. Nothing is faked: they really die."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tiling.storage import LocalStorage, ObjectStorage, Storage, local

Moment = Literal["before", "within", "after"]


class _Dying(Storage):
    """Kills around the first object whose key matches.

    Args:
        root: the folder or URL; in a bucket nothing is ever there in part.
        key: a pattern that the object's key ends with; a commit has the key of its document.
        moment: before the object is written, when it is there in part, or right after it.
        alone: only the process that writes it dies, and only once: this file, which must not
            exist, then says so. Without it the whole process group dies, as in a power cut.
    """

    def __init__(self, root: str, key: str, moment: Moment, alone: str = "") -> None:
        super().__init__(root)
        self.key, self.moment, self.alone = key, moment, alone

    def write(self, key: str, parts: Sequence[bytes]) -> None:
        if not self._is_meant(key):
            super().write(key, parts)
            return
        if self.moment == "before":
            self._kill()
        super().write(key, _Torn(parts, self._kill) if self.moment == "within" else parts)
        self._kill()

    def create(self, key: str, data: bytes) -> bool:
        if not self._is_meant(key):
            return super().create(key, data)
        if self.moment == "before":
            self._kill()
        if self.moment == "within":
            local._link = self._kill  # by then the bytes are there, under another name
        super().create(key, data)
        self._kill()
        return True

    def publish(self, staged: str, final: str, marker: str, data: bytes) -> None:
        if not self._is_meant(f"{final}/{marker}"):
            super().publish(staged, final, marker, data)
            return
        if self.moment == "before":
            self.write(f"{staged}/{marker}", [data])
            self._kill()
        if self.moment == "within":
            local.shutil.rmtree = self._kill  # what was replaced is still there
        super().publish(staged, final, marker, data)
        self._kill()

    def _is_meant(self, key: str) -> bool:
        meant = re.search(f"(^|/){self.key}$", key) is not None
        return meant and not (self.alone and Path(self.alone).exists())

    def _kill(self, *_: Any, **__: Any) -> None:
        if self.alone:
            Path(self.alone).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        os.killpg(os.getpgid(0), signal.SIGKILL)


class DyingFolder(_Dying, LocalStorage):
    """See `_Dying`."""


class DyingBucket(_Dying, ObjectStorage):
    """See `_Dying`."""


class _Torn(list[bytes]):
    """The parts of an object; after half of the bytes, whoever writes them dies."""

    def __init__(self, parts: Sequence[bytes], kill: Any) -> None:
        super().__init__(parts)
        self._kill = kill

    def __iter__(self) -> Iterator[bytes]:
        every = b"".join(super().__iter__())
        yield every[: len(every) // 2]
        with contextlib.suppress(OSError):
            _write_through()
        self._kill()


def _write_through() -> None:
    """Put something on the disk even where Python still holds all of the half."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if str(descriptor.readlink()).endswith(".tmp"):
            os.write(int(descriptor.name), b"torn")
