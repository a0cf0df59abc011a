"""A local folder whose machine loses power at a chosen step: every process of the run is killed."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tiling.storage import LocalStorage

Moment = Literal["before", "within", "after"]


class DyingStorage(LocalStorage):
    """Kills its process group around the first object written whose key ends in `key`.

    Args:
        root: the folder.
        key: how the key ends.
        moment: before the object is written, when half of it is, or right after it.
    """

    def __init__(self, root: str, key: str, moment: Moment) -> None:
        super().__init__(root)
        self.key, self.moment = key, moment

    def write(self, key: str, parts: Sequence[bytes]) -> None:
        if not key.endswith(self.key):
            super().write(key, parts)
            return
        if self.moment == "after":
            super().write(key, parts)
        elif self.moment == "within":
            super().write(key, _StoppingHalfWay(parts))
        kill_everybody()

    def create(self, key: str, data: bytes) -> bool:
        made = super().create(key, data)
        if key.endswith(self.key) and self.moment == "after":
            kill_everybody()
        return made

    def publish(self, staged: str, final: str, marker: str, data: bytes) -> None:
        super().publish(staged, final, marker, data)
        if self.key == "publish":
            kill_everybody()


class _StoppingHalfWay(list[bytes]):
    """Parts of an object; whoever asks for more than the first half of the bytes dies."""

    def __iter__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204 - an iterator of bytes
        every = b"".join(list.__iter__(self))
        yield every[: len(every) // 2]
        flush_open_files()
        kill_everybody()


def flush_open_files() -> None:
    """Nothing is lost by a kill but what Python holds; files below 1 MB would be empty otherwise."""
    for descriptor in Path("/proc/self/fd").iterdir():
        target = str(descriptor.readlink()) if descriptor.is_symlink() else ""
        if target.endswith(".tmp"):
            os.write(int(descriptor.name), b"torn")


def kill_everybody() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)
