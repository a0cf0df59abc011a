"""Paths that clients name: relative to a folder of the service, and never out of it."""

from pathlib import Path

from service.errors import InvalidError

LONGEST = 500
OWN = (
    *("jobs", "uploads", "slides", "cache"),
    *("service.sqlite", "service.sqlite-wal", "service.sqlite-shm"),
)
"""What lies in the service's folder and is no business of jobs."""
ARCHIVES = "archives"
SUFFIX = ".zarr"


def inside(root: Path, word: str) -> Path:
    """Give the place that a relative path names.

    Raises:
        InvalidError: it is no relative path, has hidden parts, or leads out of the folder.
    """
    parts = word.split("/")
    if not word or len(word) > LONGEST or not word.isprintable() or "\\" in word:
        raise InvalidError(f"{word[:80]!r} is no path of a file")
    if "://" in word or word.startswith(("/", "~")):
        raise InvalidError(f"{word[:80]!r} must be a path in the service's folder, such as runs/a")
    if any(not part or part.startswith(".") for part in parts):
        raise InvalidError(f"{word[:80]!r} holds a hidden name, an empty one, or `..`")
    try:
        home = root.resolve()
        found = (home / word).resolve()
    except (OSError, RuntimeError, ValueError) as err:  # RuntimeError: links in a circle
        raise InvalidError(f"{word!r} cannot be followed") from err
    if found == home or not found.is_relative_to(home):
        raise InvalidError(f"{word!r} leads out of the service's folder")
    return found


def in_work(work: Path, word: str) -> Path:
    """Give the place that a path in the service's folder names, but for the service's own.

    Raises:
        InvalidError: it is none, or the service's own.
    """
    path = inside(work, word)
    for first in (word.split("/")[0], path.relative_to(work.resolve()).parts[0]):
        if first.casefold() in OWN:
            raise InvalidError(f"{word!r} is the service's own")
    return path


def existing(work: Path, word: str, *, what: str = "file or folder") -> Path:
    """Give a place that is there.

    Raises:
        InvalidError: there is nothing, or nothing that is a `file` or `folder` as asked for.
    """
    path = in_work(work, word)
    there = {"file": path.is_file(), "folder": path.is_dir()}.get(what, path.exists())
    if not there:
        raise InvalidError(f"there is no {what} {word!r} in the service's folder")
    return path


def output(work: Path, word: str, suffix: str = "") -> Path:
    """Give a place that a job may write.

    Args:
        work: the service's folder.
        word: what the client says.
        suffix: how the name of a file must end; a folder without.

    Raises:
        InvalidError: it lies in an archive or among them, or is another kind of file.
    """
    path = in_work(work, word)
    parts = path.relative_to(work.resolve()).parts
    if parts[0] == ARCHIVES or any(part.lower().endswith(SUFFIX) for part in parts):
        raise InvalidError(f"{word!r}: nothing but archives lies there; take a path such as runs/a")
    if suffix and path.suffix.lower() != suffix:
        raise InvalidError(f"{word!r} must end in {suffix}")
    if path.exists() and path.is_dir() == bool(suffix):
        raise InvalidError(f"{word!r} is a {'folder' if suffix else 'file'} already")
    return path
