"""The files that a job wrote, by paths of the client's; nothing else can be reached by them."""

import datetime
import math
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from service.jobs.paths import SUFFIX
from service.jobs.tables import Job
from workflows.beside import FAILURES, REPORT, RUN

Span = tuple[float, float]
"""From when to when, seconds since 1970."""
SLACK_S = 2.0
"""Clocks of file systems are coarse, and may be another machine's."""
MOST = 10_000
"""Files that are listed of a job."""


@dataclass(frozen=True)
class Written:
    """A file that a job wrote.

    Attributes:
        name: path of the client's, such as runs/a/report.html.
        path: on this server, without links.
        size_bytes: of the file.
        modified: seconds since 1970.
    """

    name: str
    path: Path
    size_bytes: int
    modified: float


def job_span(job: Job) -> Span:
    """From when to when a job may have written: nothing before it was begun."""
    if job.started is None:
        return math.inf, -math.inf
    ends = math.inf if job.finished is None else _seconds(job.finished) + SLACK_S
    return _seconds(job.started) - SLACK_S, ends


def _seconds(at: datetime.datetime) -> float:
    return at.replace(tzinfo=datetime.UTC).timestamp()


def list_written(
    outputs: list[tuple[Path, str]], span: Span, taken: Collection[Path] = ()
) -> list[Written]:
    """List files of a job's outputs: in its folders, and beside its archives.

    Args:
        outputs: places that it writes, and what clients call them.
        span: only files written in it, so that naming a folder does not show what others left.
        taken: places within those that are another job's.
    """
    found: dict[str, Written] = {}
    for path, word in outputs:
        for one in _written(path, word):
            if span[0] <= one.modified <= span[1] and not _is_in(one.path, taken):
                found.setdefault(one.name, one)
            if len(found) >= MOST:
                return sorted(found.values(), key=lambda known: known.name)
    return sorted(found.values(), key=lambda known: known.name)


def files_beside(archive: Path) -> set[Path]:
    """Give the files that a job may write beside an archive."""
    return {archive.with_name(f"{archive.name}.{kind}") for kind in (REPORT, RUN, FAILURES)}


def _is_in(path: Path, places: Collection[Path]) -> bool:
    return any(one == path or one in path.parents for one in places)


def _written(path: Path, word: str) -> Iterator[Written]:
    if path.name.endswith(SUFFIX):
        for file in sorted(files_beside(path)):
            yield from _file(file, f"{word}{file.name.removeprefix(path.name)}")
    elif path.is_dir():
        yield from _in_folder(path, word)
    else:
        yield from _file(path, word)


def _in_folder(folder: Path, word: str) -> Iterator[Written]:
    for place, folders, names in os.walk(folder):  # does not follow links
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not n.endswith(SUFFIX))
        within = Path(place).relative_to(folder).as_posix()
        before = word if within == "." else f"{word}/{within}"
        for name in sorted(names):
            if not name.startswith("."):
                yield from _file(Path(place, name), f"{before}/{name}")


def _file(path: Path, name: str) -> Iterator[Written]:
    if path.is_file() and not path.is_symlink():
        known = path.stat()
        yield Written(name, path, known.st_size, known.st_mtime)
