"""Scores of many settings under each other as inline SVG: a dot and its interval per row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from workflows.reporting.label_curves import style

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 560, 190, 16, 8, 22, 40


@dataclass(frozen=True, slots=True)
class Dot:
    """One row.

    Attributes:
        name: what it is of.
        group: gives colour and marker.
        value: None where there is no score.
        low, high: ends of the interval.
    """

    name: str
    group: int
    value: float | None
    low: float | None = None
    high: float | None = None


def forest_height(rows: int) -> int:
    """Pixels that a drawing of so many rows is high."""
    return TOP + ROW * rows + BOTTOM


def forest(rows: Sequence[Dot], *, title: str, below: str, level: float | None = None) -> Markup:
    """Draw rows from top to bottom.

    Args:
        rows: at least one.
        title: what is shown; read aloud by screen readers.
        below: text under the axis.
        level: drawn as a broken line from top to bottom.
    """
    ends = [end for row in rows for end in (row.value, row.low, row.high)]
    known = [end for end in [*ends, level] if end is not None] or [0.0, 1.0]
    low = math.floor(min(known) * 20 + 1e-9) / 20
    span = (low, max(math.ceil(max(known) * 20 - 1e-9) / 20, low + 0.05))
    height = forest_height(len(rows))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" class="plot">'
        f"<title>{escape(title)}</title>",
        *_rules(span, height - BOTTOM),
    ]
    if level is not None:
        x = _x(level, span)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{height - BOTTOM}" class="chance"/>')
    for number, row in enumerate(rows):
        parts += _row(row, TOP + ROW * (number + 0.5), span)
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{height - 6}" class="middle">{escape(below)}</text>')
    return Markup("".join([*parts, "</svg>"]))


def _row(row: Dot, y: float, span: tuple[float, float]) -> list[str]:
    colour, marker = style(row.group)
    drawn = [f'<text x="{LEFT - 12}" y="{y + 4}" class="end name">{escape(row.name)}</text>']
    if row.low is not None and row.high is not None:
        drawn.append(
            f'<line x1="{_x(row.low, span)}" x2="{_x(row.high, span)}" y1="{y}" y2="{y}" '
            f'stroke="{colour}" stroke-width="1.6" opacity=".6"/>'
        )
    if row.value is not None:
        place = f"translate({_x(row.value, span)} {y})"
        drawn.append(f'<path d="{marker}" transform="{place}" fill="{colour}"/>')
    return drawn


def _rules(span: tuple[float, float], floor: float) -> list[str]:
    steps = round((span[1] - span[0]) * 20)
    every = max(1, math.ceil(steps / 8))
    drawn = []
    for step in range(0, steps + 1, every):
        value = span[0] + step / 20
        x = _x(value, span)
        drawn.append(
            f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{floor}" class="rule"/>'
            f'<text x="{x}" y="{floor + 15}" class="middle">{value:.2f}</text>'
        )
    return drawn


def _x(value: float, span: tuple[float, float]) -> float:
    return round(LEFT + (WIDTH - RIGHT - LEFT) * (value - span[0]) / (span[1] - span[0]), 1)
