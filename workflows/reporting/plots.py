"""Two plots as inline SVG: bars and a histogram. Plain shapes, no script, readable on paper."""

import math
from collections.abc import Callable, Sequence
from html import escape

from markupsafe import Markup

from workflows.units import short

WIDTH, HEIGHT = 380, 180
LEFT, RIGHT, TOP, BOTTOM = 50, 8, 12, 34
BLUE = "#0072b2"
"""Okabe and Ito's blue, the colour of kept patches in the pictures too."""

MOST_BARS = 200
"""Bars that can be told apart on the plot's width; more values are thinned evenly."""


def bars(
    values: Sequence[float], *, title: str, below: str, label: Callable[[float], str]
) -> Markup:
    """Draw one bar per value, from the largest to the smallest.

    Args:
        values: not negative.
        title: what a bar is; read aloud by screen readers.
        below: text under the axis.
        label: writes a value of the vertical axis.
    """
    ordered = sorted(values, reverse=True)
    if len(ordered) > MOST_BARS:
        step = (len(ordered) - 1) / (MOST_BARS - 1)
        ordered = [ordered[round(i * step)] for i in range(MOST_BARS)]
    return _plot(ordered, title=title, below=below, label=label, ends=("", ""))


def histogram(counts: Sequence[float], *, title: str, below: str, ends: tuple[str, str]) -> Markup:
    """Draw counts of equal bins.

    Args:
        counts: per bin.
        title: what is counted; read aloud by screen readers.
        below: text under the axis.
        ends: labels of the first bin's start and the last bin's end.
    """
    return _plot(counts, title=title, below=below, label=short, ends=ends)


def _plot(
    heights: Sequence[float],
    *,
    title: str,
    below: str,
    label: Callable[[float], str],
    ends: tuple[str, str],
) -> Markup:
    ticks = _ticks(max(heights, default=0.0))
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">',
        f"<title>{escape(title)}</title>",
    ]
    for tick in ticks:
        y = floor - room * tick / ticks[-1]
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="rule"/>'
            f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" class="end">{escape(label(tick))}</text>'
        )
    parts += _rectangles(heights, ticks[-1])
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" class="middle">{escape(below)}</text>')
    parts.append(f'<text x="{LEFT}" y="{floor + 14}" class="middle">{escape(ends[0])}</text>')
    right = WIDTH - RIGHT
    parts.append(f'<text x="{right}" y="{floor + 14}" class="end">{escape(ends[1])}</text></svg>')
    return Markup("".join(parts))


def _rectangles(heights: Sequence[float], top: float) -> list[str]:
    pitch = (WIDTH - RIGHT - LEFT) / max(len(heights), 1)
    wide = min(pitch * 0.86, 46.0) if pitch > 3 else pitch
    drawn = []
    for i, height in enumerate(heights):
        tall = (HEIGHT - BOTTOM - TOP) * height / top
        x = LEFT + i * pitch + (pitch - wide) / 2
        drawn.append(
            f'<rect x="{x:.2f}" y="{HEIGHT - BOTTOM - tall:.2f}" '
            f'width="{wide:.2f}" height="{tall:.2f}" fill="{BLUE}"/>'
        )
    return drawn


def _ticks(largest: float) -> list[float]:
    """Zero and three or four round numbers, the last not below `largest`."""
    if largest <= 0:
        return [0.0, 1.0]
    raw = largest / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    return [i * step for i in range(math.ceil(largest / step - 1e-9) + 1)]
