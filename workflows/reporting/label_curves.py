"""Curves over shares of the labels as inline SVG: one line per encoder, with its intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 10, 40
APART = 5.0
"""Pixels between neighbouring encoders at the same share, so that their intervals can be told."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b1f23")
"""Okabe and Ito's, which the colour-blind tell apart; markers differ too."""

MARKERS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.6l4.4 8h-8.8z",
    "M0-5l5 5l-5 5l-5-5z",
    "M0 4.6l4.4-8h-8.8z",
)
"""Outlines around 0, 0: circle, square, triangle, diamond, triangle upside down."""


@dataclass(frozen=True, slots=True)
class Point:
    """A score at a share of the labels; without ends where they are not known."""

    share: float
    value: float
    low: float | None = None
    high: float | None = None


def curves(
    series: Sequence[tuple[int, Sequence[Point]]], *, title: str, chance: float | None = None
) -> Markup:
    """Draw lines over a logarithmic axis of shares.

    Args:
        series: number of the encoder, which gives colour and marker, and its points.
        title: what is shown; read aloud by screen readers.
        chance: drawn as a broken line.
    """
    points = [point for _, many in series for point in many]
    low, high = _range(points, chance)
    shares = sorted({point.share for point in points})
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">'
        f"<title>{escape(title)}</title>"
    ]
    parts += _rules(low, high)
    if chance is not None:
        y = _y(chance, low, high)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="chance"/>')
    for share in shares:
        x = _x(share, shares)
        parts.append(f'<text x="{x}" y="{HEIGHT - 24}" class="middle">{100 * share:g} %</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" class="middle">share of the labels</text>')
    for place, (number, many) in enumerate(series):
        shift = APART * (place - (len(series) - 1) / 2)
        at = [(_x(point.share, shares) + shift, point) for point in many]
        parts += _line(at, number, low, high)
    return Markup("".join([*parts, "</svg>"]))


def swatch(number: int) -> Markup:
    """Draw the marker of an encoder, for a legend."""
    colour, marker = style(number)
    return Markup(
        '<svg viewBox="-7 -7 14 14" width="14" height="14" aria-hidden="true">'
        f'<path d="{marker}" fill="{colour}"/></svg>'
    )


def style(number: int) -> tuple[str, str]:
    """Colour and marker of an encoder."""
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def _line(at: Sequence[tuple[float, Point]], number: int, low: float, high: float) -> list[str]:
    colour, marker = style(number)
    places = [(x, _y(point.value, low, high)) for x, point in at]
    drawn = [
        f'<polyline points="{" ".join(f"{x:.1f},{y}" for x, y in places)}" '
        f'fill="none" stroke="{colour}" stroke-width="1.6"/>'
    ]
    for (x, point), (_, y) in zip(at, places, strict=True):
        if point.low is not None and point.high is not None:
            top, bottom = _y(point.high, low, high), _y(point.low, low, high)
            drawn.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" '
                f'stroke="{colour}" stroke-width="1.2" opacity=".6"/>'
            )
        drawn.append(f'<path d="{marker}" transform="translate({x:.1f} {y})" fill="{colour}"/>')
    return drawn


def _rules(low: float, high: float) -> list[str]:
    steps = round((high - low) * 10)
    every = 1 if steps <= 6 else 2
    drawn = []
    for step in range(0, steps + 1, every):
        value = low + step / 10
        y = _y(value, low, high)
        drawn.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="rule"/>'
            f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" class="end">{value:.1f}</text>'
        )
    return drawn


def _range(points: Sequence[Point], chance: float | None) -> tuple[float, float]:
    """Tenths around all that is drawn."""
    ends = [end for point in points for end in (point.value, point.low, point.high)]
    known = [end for end in [*ends, chance] if end is not None] or [0.0, 1.0]
    low = math.floor(min(known) * 10 + 1e-9) / 10
    return low, max(math.ceil(max(known) * 10 - 1e-9) / 10, low + 0.1)


def _x(share: float, shares: Sequence[float]) -> float:
    left, right = LEFT + 26, WIDTH - RIGHT - 26
    first, last = math.log(shares[0]), math.log(shares[-1])
    if first == last:
        return (left + right) / 2
    return round(left + (right - left) * (math.log(share) - first) / (last - first), 1)


def _y(value: float, low: float, high: float) -> float:
    room = HEIGHT - TOP - BOTTOM
    return round(TOP + room * (high - value) / (high - low), 1)
