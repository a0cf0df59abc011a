"""What an archive needs of the place where its bytes lie: few primitives, each atomic.

An object is there wholly or not at all. Keys are relative, with `/`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

SCRATCH = ".microtome"
"""Folder of leases and of slides that are being written; gone when no run is under way."""


class Storage(ABC):
    """Objects under one root; pickles, since tasks carry it to their workers."""

    def __init__(self, root: str) -> None:
        self.root = root

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Read an object; `FileNotFoundError` where there is none."""

    @abstractmethod
    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Read bytes `start` to `stop`; a negative `start` counts from the end (`stop` is 0)."""

    def read_ranges(self, keys: list[str], starts: list[int], stops: list[int]) -> list[bytes]:
        """Read many ranges, at once where the store can."""
        wanted = zip(keys, starts, stops, strict=True)
        return [self.read_range(key, start, stop) for key, start, stop in wanted]

    @abstractmethod
    def write(self, key: str, parts: Sequence[bytes]) -> None:
        """Write an object from its parts, replacing it at once; durable on return."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists; says whether this call made it."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether there is an object."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Bytes of an object; `FileNotFoundError` where there is none."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """Names right under `prefix`, sorted; none where nothing is there."""

    @abstractmethod
    def delete(self, prefix: str) -> None:
        """Remove an object, or everything under a prefix; nothing there is no error."""

    @abstractmethod
    def prune(self, prefix: str) -> None:
        """Remove folders under `prefix`, and itself, that hold nothing."""

    @abstractmethod
    def tidy(self, prefix: str) -> None:
        """Remove what writes right under `prefix` left when they were cut off."""

    @abstractmethod
    def staging(self, final: str, token: str) -> str:
        """Give the prefix under which the run `token` prepares `final`."""

    @abstractmethod
    def publish(self, staged: str, final: str, marker: str, data: bytes) -> None:
        """Write the object `marker` last, and let everything staged appear as `final` by that."""
