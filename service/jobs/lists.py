"""Lists of files (CSV) that a job reads: they may name only what a client may name."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from service.errors import InvalidError
from tiling.errors import ManifestError
from tiling.importing import rows, volume_rows
from tiling.manifest import ALIASES, read_text, records

SUFFIXES = (".csv", ".tsv", ".txt")
"""Of files that are lists."""
MOST_BYTES = 100_000_000


def _columns() -> frozenset[str]:
    """Names of columns that hold paths, in any list that we read."""
    found = {"mask_path", "slide_id", "case_id"}  # a list of CLAM has its paths under slide_id
    found |= {"path", *ALIASES["path"]}
    for name in ("file", "mask"):
        found |= {name, *rows.ALIASES[name]}
    for name in ("image", "label"):
        found |= {name, *volume_rows.ALIASES[name]}
    return frozenset(found)


COLUMNS = _columns()


def check_list(path: Path, roots: Iterable[Path]) -> None:
    """Refuse a list that names files elsewhere.

    Args:
        path: of the list; what is no CSV file is not looked at.
        roots: folders in which files may lie.

    Raises:
        InvalidError: it names one elsewhere, or cannot be read.
    """
    if not path.name.lower().endswith(SUFFIXES) or not path.is_file():
        return
    if path.stat().st_size > MOST_BYTES:
        raise InvalidError(f"{path.name} is too long for a list")
    homes = tuple(root.resolve() for root in roots)
    try:
        for line, word in _paths(path):
            if not _is_within(path.parent, word, homes):
                raise InvalidError(f"{path.name} line {line} names a file that is not here")
    except ManifestError as err:
        raise InvalidError(f"{path.name} cannot be read as a list") from err


def _paths(path: Path) -> Iterator[tuple[int, str]]:
    lines = records(read_text(str(path), path.name), path.name)
    header = [name.lower() for name in next(lines, (0, []))[1]]
    columns = [number for number, name in enumerate(header) if name in COLUMNS]
    for line, values in lines:
        yield from ((line, values[number]) for number in columns if number < len(values))


def _is_within(folder: Path, word: str, homes: tuple[Path, ...]) -> bool:
    if "://" in word or word.startswith("~") or "\0" in word:
        return False
    try:
        found = (folder / word).resolve()
    except (OSError, RuntimeError):
        return False
    return any(map(found.is_relative_to, homes))
