"""Drawings of a page as one SVG file that any viewer and any Markdown page shows."""

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from workflows.reporting.experiments import Figure

MARGIN, LINE, HEADING = 10, 24, 22
LETTER = 6.2
"""Mean width of a letter of 11 px; the viewer's own letters decide."""

STYLE = (
    'text{font:11px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:#57606a}'
    ".end{text-anchor:end}.middle{text-anchor:middle}.rule{stroke:#d8dee4}"
    ".chance{stroke:#57606a;stroke-dasharray:4 4}.name{fill:#1b1f23}"
    ".head{font-weight:600;font-size:13px;fill:#1b1f23}"
)


def standalone(figure: Figure, side_px: tuple[int, int]) -> str:
    """Give a figure as an SVG file: its legend, and below it the drawings side by side.

    Args:
        figure: what is shown.
        side_px: width and height of every drawing.
    """
    width, height = side_px
    wide = len(figure.drawings) * (width + MARGIN) + MARGIN
    legend, top = _legend(figure, wide)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {top + HEADING + height}" '
        f'width="{wide}" height="{top + HEADING + height}"><title>{escape(figure.heading)}</title>'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        *legend,
    ]
    for number, (heading, drawing) in enumerate(figure.drawings):
        left = MARGIN + number * (width + MARGIN)
        parts.append(f'<text x="{left}" y="{top + 14}" class="head">{escape(heading)}</text>')
        parts.append(_placed(drawing, left, top + HEADING, side_px))
    return "".join([*parts, "</svg>\n"])


def _legend(figure: Figure, wide: int) -> tuple[Sequence[str], int]:
    """Marks and names in lines; and where they end."""
    if not figure.legend:
        return [], MARGIN
    parts, left, top = [], float(MARGIN), 6
    for name, mark in figure.legend:
        length = 19 + LETTER * len(name) + 18
        if left > MARGIN and left + length > wide:
            left, top = float(MARGIN), top + LINE
        parts.append(_placed(mark, left, top, (14, 14)))
        parts.append(f'<text x="{left + 19:g}" y="{top + 11}">{escape(name)}</text>')
        left += length
    return parts, top + LINE


def _placed(drawing: Markup, left: float, top: float, side_px: tuple[int, int]) -> str:
    """Put a drawing at a place, which it fills."""
    width, height = side_px
    place = f'x="{left:g}" y="{top:g}" width="{width}" height="{height}"'
    return f"<svg {place}>{drawing}</svg>"
