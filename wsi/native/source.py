"""Where the bytes of native tiles come from: a local file or an fsspec URL, in coalesced ranges."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any, TypeAlias

from wsi.errors import RegionError

_SPAN_MAX = 4 << 20  # bytes read at once at most: bounds memory, and larger reads are not faster
_LOCAL_GAP = 16 << 10  # unneeded bytes worth reading to save a system call (about 5 us)
_REMOTE_GAP = 256 << 10  # … to save a request (tens of milliseconds)

_NOWAIT = getattr(os, "RWF_NOWAIT", 0x80)
"""Linux only; elsewhere a flag that is refused."""

Piece: TypeAlias = memoryview | RegionError


@dataclass(frozen=True, slots=True)
class Run:
    """Ranges fetched at once: bytes [start, stop) hold those numbered `members`."""

    start: int
    stop: int
    members: tuple[int, ...]


def plan_runs(offsets: Sequence[int], counts: Sequence[int], gap: int) -> list[Run]:
    """Join ranges that are at most `gap` bytes apart into runs of at most 4 MiB; skip empty ranges.

    A single range may be longer than that.
    """
    order = sorted((i for i in range(len(offsets)) if counts[i] > 0), key=offsets.__getitem__)
    runs: list[Run] = []
    start = stop = 0
    members: list[int] = []
    for i in order:
        end = offsets[i] + counts[i]
        if members and (offsets[i] - stop > gap or max(end, stop) - start > _SPAN_MAX):
            runs.append(Run(start, stop, tuple(members)))
            members = []
        if not members:
            start = stop = offsets[i]
        stop = max(stop, end)
        members.append(i)
    if members:
        runs.append(Run(start, stop, tuple(members)))
    return runs


class ByteSource(ABC):
    """Random access to one file's bytes."""

    gap: int

    def read_ranges(self, offsets: Sequence[int], counts: Sequence[int]) -> list[Piece]:
        """Read ranges; a range that fails or is cut off is an error in its place, never raised."""
        pieces: list[Piece] = [memoryview(b"")] * len(offsets)
        runs = plan_runs(offsets, counts, self.gap)
        for run, data in zip(runs, self._fetch(runs), strict=True):
            view = memoryview(data) if isinstance(data, bytes) else None
            for i in run.members:
                if view is None:
                    pieces[i] = self._read_alone(run, offsets[i], counts[i], data)
                    continue
                at = offsets[i] - run.start
                piece = view[at : at + counts[i]]
                short = f"only {len(piece)} of {counts[i]} bytes at {offsets[i]}"
                pieces[i] = piece if len(piece) == counts[i] else RegionError(short)
        return pieces

    def _read_alone(self, run: Run, offset: int, count: int, cause: bytes | OSError) -> Piece:
        """Try one range of a failed run by itself, so that one bad sector costs one tile."""
        if len(run.members) > 1:
            return self.read_ranges([offset], [count])[0]
        error = RegionError(f"{count} bytes at {offset}: {cause!s}")
        error.__cause__ = cause if isinstance(cause, OSError) else None
        return error

    def peek(self, offset: int, count: int) -> bytes | None:
        """Read a range without waiting for disk or network; None where that cannot be."""
        return None

    @abstractmethod
    def _fetch(self, runs: Sequence[Run]) -> list[bytes | OSError]:
        """Fetch each run; fewer bytes only at the end of the file."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; closing twice is fine."""


class LocalFile(ByteSource):
    """A file on this machine: one descriptor, positioned reads."""

    gap = _LOCAL_GAP

    def __init__(self, path: str) -> None:
        self._file = FileIO(path)

    def _fetch(self, runs: Sequence[Run]) -> list[bytes | OSError]:
        return [self._pread(run) for run in runs]

    def peek(self, offset: int, count: int) -> bytes | None:
        """Read a range that the system has in memory; some systems and file systems never do."""
        buffer = bytearray(count)
        try:
            got = os.preadv(self._file.fileno(), [buffer], offset, _NOWAIT)
        except (OSError, ValueError):  # it would wait, is not supported here, or was closed
            return None
        return bytes(buffer) if got == count else None

    def _pread(self, run: Run) -> bytes | OSError:
        try:
            return os.pread(self._file.fileno(), run.stop - run.start, run.start)
        except OSError as err:
            return err

    def close(self) -> None:
        """Close the descriptor."""
        self._file.close()


class RemoteFile(ByteSource):
    """A file behind an fsspec URL; all runs of one call are fetched at the same time."""

    gap = _REMOTE_GAP

    def __init__(self, url: str) -> None:
        import fsspec

        self._fs: Any
        self._fs, self._path = fsspec.core.url_to_fs(url)

    def _fetch(self, runs: Sequence[Run]) -> list[bytes | OSError]:
        paths = [self._path] * len(runs)
        starts, stops = [run.start for run in runs], [run.stop for run in runs]
        got = self._fs.cat_ranges(paths, starts, stops, on_error="return")
        return [bytes(data) if isinstance(data, bytes) else _as_os_error(data) for data in got]

    def close(self) -> None:
        """Do nothing: fsspec pools its connections."""


def _as_os_error(err: Exception) -> OSError:
    return err if isinstance(err, OSError) else OSError(f"{type(err).__name__}: {err}")


def is_url(location: str) -> bool:
    """Whether a location is read through fsspec."""
    return "://" in location


def open_source(location: str) -> ByteSource:
    """Open a path or an fsspec URL for random access."""
    return RemoteFile(location) if is_url(location) else LocalFile(location)
