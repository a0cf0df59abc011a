"""A CSV that a person wrote, as lines of values by our column names; errors tell the line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tiling.errors import ManifestError
from tiling.manifest import raise_problems, read_text, records

Aliases = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        number: counted from 1 with the header.
        values: by column; empty ones are left out.
    """

    number: int
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A CSV. `columns` are in its order, ours under our names, others as they are written."""

    path: Path
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    def where(self, line: int) -> str:
        """Name a line in a message."""
        return f"{self.path.name} line {line}"

    def file(self, text: str) -> str:
        """Make a path of the table absolute; it is relative to the table's folder."""
        return str((self.path.parent / Path(text).expanduser()).absolute())


def read_table(path: str | Path, aliases: Aliases, needed: str) -> Table:
    """Read a CSV (UTF-8; comma, semicolon or tab).

    Args:
        path: of the file.
        aliases: our columns, and other names of each; our own name wins where a file has both.
        needed: the column that must be there, with a value in every line.

    Raises:
        ManifestError: one error with all problems and their lines.
    """
    file = Path(path).expanduser().absolute()
    found = records(read_text(str(file), file.name), file.name)
    _, header = next(found, (0, []))
    columns = _columns(header, aliases, needed, file.name)
    lines, problems = [], []
    for number, values in found:
        where = f"{file.name} line {number}: "
        known = {c: v for c, v in zip(columns, values, strict=False) if v}
        if any(values[len(columns) :]):
            problems.append(f"{where}{len(values)} values under {len(columns)} columns")
        elif needed not in known:
            problems.append(f"{where}{needed} is empty")
        lines.append(Line(number, known))
    if not lines:
        problems.append(f"{file.name}: only a header, no lines")
    raise_problems(problems)
    return Table(file, columns, tuple(lines))


def _columns(header: Sequence[str], aliases: Aliases, needed: str, name: str) -> tuple[str, ...]:
    names = [column.lower() for column in header]
    written = dict(zip(names, header, strict=True))
    twice = sorted({n for n in names if n and names.count(n) > 1})
    problems = [f"{name} line 1: two columns are named {n!r}" for n in twice]
    for ours, others in aliases.items():
        there = [other for other in others if other in names]
        if ours not in names and len(there) > 1:
            problems.append(f"{name} line 1: {' and '.join(there)} both mean {ours}")
        elif ours not in names and there:
            names[names.index(there[0])] = ours
    if needed not in names:
        known = ", ".join((needed, *aliases[needed]))
        have = ", ".join(header) or "nothing"
        problems.append(f"{name} line 1: no column with files ({known}) among {have}")
    raise_problems(problems)
    return tuple(name if name in aliases else written.get(name, name) for name in names)


def find_column(columns: Sequence[str], name: str, where: str) -> str:
    """Find a column whatever the case of its letters.

    Raises:
        ManifestError: there is none; the message begins with `where`.
    """
    found = {column.lower(): column for column in columns}.get(name.lower())
    if found is None:
        there = ", ".join(columns) or "no columns: it is a folder"
        raise ManifestError(f"{where} has no column {name!r}; there are: {there}")
    return found
