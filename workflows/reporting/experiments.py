"""Tables and pages of experiments: the same table as Markdown, and within one HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from workflows.reporting.html import new_environment
from workflows.units import duration

Legend = Sequence[tuple[str, Markup]]


@dataclass(frozen=True, slots=True)
class Table:
    """Words in rows and columns.

    Attributes:
        heading: of the table.
        remark: what the numbers are; sentences.
        head: names of the columns.
        rows: as long as the head; the first word says what the row is of.
        words: number of columns at the left that hold words; the others hold numbers.
        sure: number of rows and columns, in pairs, that stand out.
    """

    heading: str
    remark: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    sure: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """Drawings side by side under one legend, each with its own heading."""

    heading: str
    remark: str
    legend: Legend
    drawings: Sequence[tuple[str, Markup]]


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: heading.
        place: folder of the experiment.
        notes: what to beware of, before all else.
        keys: numbers at the top: name, value, remark.
        figures: drawings.
        tables: in their order.
        facts: how it was made: name and value.
    """

    title: str
    place: str
    notes: Sequence[str]
    keys: Sequence[tuple[str, str, str]]
    figures: Sequence[Figure]
    tables: Sequence[Table]
    facts: Mapping[str, Any] = field(default_factory=dict)


def render_experiment(page: Page, config: Mapping[str, Any], version: str) -> str:
    """Give the page as HTML; all is in one file, which asks the network for nothing.

    Args:
        page: what it shows.
        config: of the experiment.
        version: of microtome.
    """
    environment = new_environment({"duration": duration})
    template = environment.get_template("experiment.html.j2")
    return template.render(page=page, config=config, version=version)


def markdown(table: Table) -> str:
    """Give a table as GitHub's Markdown, its heading and remark before it."""
    sides = ["---"] * table.words + ["---:"] * (len(table.head) - table.words)
    rows = [
        [f"**{word}**" if (y, x) in table.sure else word for x, word in enumerate(row)]
        for y, row in enumerate(table.rows)
    ]
    lines = [_line(table.head), _line(sides), *map(_line, rows)]
    return f"### {table.heading}\n\n{table.remark}\n\n" + "\n".join(lines) + "\n"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"
