"""Lines over two axes as inline SVG: ROC and precision-recall curves, losses over epochs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

WIDTH, HEIGHT = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 38
TICKS = 5
DIGIT_PX = 7
"""At most, of the plots' small print."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b1f23")
"""Okabe and Ito's, which the colour-blind tell apart."""

DASHES = ("", "6 3", "2 3")
"""Change when the colours begin again."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        points: x, y.
        number: gives colour and dashes.
        faint: drawn thin, as a companion of another line of its colour.
        mark: point that gets a dot.
    """

    points: Sequence[tuple[float, float]]
    number: int
    faint: bool = False
    mark: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Axes:
    """What is along the axes; `diagonal` is drawn broken from the lower left."""

    title: str
    below: str
    beside: str
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    diagonal: bool = False
    level: float | None = None


def draw_lines(lines: Sequence[Line], axes: Axes) -> Markup:
    """Draw lines; the title is read aloud by screen readers."""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">'
        f"<title>{escape(axes.title)}</title>",
        *_rules(axes),
    ]
    (x0, x1), (y0, y1) = axes.x, axes.y
    if axes.diagonal:
        parts.append(_broken(_place(x0, y0, axes), _place(x1, y1, axes)))
    if axes.level is not None:
        parts.append(_broken(_place(x0, axes.level, axes), _place(x1, axes.level, axes)))
    parts += [_polyline(line, axes) for line in lines]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 5}" class="middle">{escape(axes.below)}</text>')
    centre = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="11" y="{centre}" class="middle" transform="rotate(-90 11 {centre})">'
        f"{escape(axes.beside)}</text></svg>"
    )
    return Markup("".join(parts))


def round_end(largest: float) -> float:
    """Give the least round number not below `largest` whose ticks are round too."""
    power = 10.0 ** math.floor(math.log10(largest / TICKS))
    steps = (m * power for m in (1, 2, 5, 10))
    return TICKS * next(step for step in steps if TICKS * step >= largest * (1 - 1e-9))


def swatch(number: int) -> Markup:
    """Draw a piece of a line, for a legend."""
    return Markup(
        '<svg viewBox="0 0 22 8" width="22" height="8" aria-hidden="true">'
        f'<line x1="0" x2="22" y1="4" y2="4" stroke-width="2.4" {_stroke(number)}/></svg>'
    )


def _stroke(number: int) -> str:
    dashes = DASHES[number // len(COLOURS) % len(DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="{COLOURS[number % len(COLOURS)]}"{dashed}'


def _polyline(line: Line, axes: Axes) -> str:
    places = " ".join("{:.1f},{:.1f}".format(*_place(x, y, axes)) for x, y in line.points)
    width = 'stroke-width="1" opacity=".45"' if line.faint else 'stroke-width="1.8"'
    drawn = f'<polyline points="{places}" fill="none" {_stroke(line.number)} {width}/>'
    if line.mark is not None:
        x, y = _place(*line.mark, axes)
        colour = COLOURS[line.number % len(COLOURS)]
        drawn += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{colour}"/>'
    return drawn


def _broken(start: tuple[float, float], end: tuple[float, float]) -> str:
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        'stroke="#57606a" stroke-dasharray="4 4"/>'
    )


def _rules(axes: Axes) -> list[str]:
    drawn = []
    for step in range(TICKS + 1):
        share = step / TICKS
        value = axes.y[0] + share * (axes.y[1] - axes.y[0])
        y = _place(axes.x[0], value, axes)[1]
        drawn.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="rule"/>'
            f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" class="end">{_label(value)}</text>'
        )
        value = axes.x[0] + share * (axes.x[1] - axes.x[0])
        x, label = _place(value, axes.y[0], axes)[0], _label(value)
        room = (WIDTH - x) * 2 // DIGIT_PX
        x, anchor = (x, "middle") if len(label) <= room else (WIDTH - 1, "end")
        drawn.append(f'<text x="{x:.1f}" y="{HEIGHT - 22}" class="{anchor}">{label}</text>')
    return drawn


def _label(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _place(x: float, y: float, axes: Axes) -> tuple[float, float]:
    """Pixels of a point; what lies beyond an axis is drawn on its end."""
    across = (min(max(x, axes.x[0]), axes.x[1]) - axes.x[0]) / (axes.x[1] - axes.x[0])
    up = (min(max(y, axes.y[0]), axes.y[1]) - axes.y[0]) / (axes.y[1] - axes.y[0])
    return LEFT + across * (WIDTH - RIGHT - LEFT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)
