"""The picture and the page of a training: what its lines tell, its settings and its encoder."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from workflows.beside import write_file
from workflows.reporting import lines as drawings
from workflows.reporting import training_facts as facts
from workflows.reporting.html import new_environment
from workflows.reporting.training_curves import SCORES, Line, Panel, panels_of
from workflows.units import duration, plural
from workflows.version import package_version

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
PANEL_INCHES = (4.4, 2.9)
DOTS_PER_INCH = 110
RULE, SOFT = "#d8dee4", "#57606a"
"""The lines and the small print of the page."""
MARKED = 12
"""Points of a curve up to which each is marked."""

log = logging.getLogger(__name__)


def read_metrics(path: Path) -> list[Line]:
    """Read the lines of a run; none where there is no file, and without damaged ones."""
    try:
        rows = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for number, row in enumerate(rows, 1):
        try:
            found.append(_line(row))
        except ValueError as err:
            log.warning("line %d of %s is left out: %s", number, path, err)
    return found


def draw_curves(lines: Sequence[Line], png_path: Path) -> None:
    """Draw everything that the lines tell over steps; the file is written at once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = panels_of(lines)
    rows = max(1, -(-len(panels) // COLUMNS))
    wide, tall = PANEL_INCHES
    figure = Figure(figsize=(COLUMNS * wide, rows * tall), dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, COLUMNS, number + 1)
        axes.set_xlim(0, _end(lines))
        _draw(axes, panel)
    if not panels:
        figure.text(0.5, 0.5, "no step was told of", ha="center", color=SOFT)
    picture = BytesIO()
    canvas.print_png(picture)  # type: ignore[no-untyped-call]  # matplotlib
    write_file(str(png_path), picture.getvalue())


def render_training(document: Mapping[str, Any], lines: Sequence[Line]) -> str:
    """Give the page as HTML; all is in one file, which asks the network for nothing.

    Args:
        document: record of the run. `config` is needed; `title`, `out`, `finished`, `step`,
            `steps`, `seconds`, `card`, `data`, `training`, `device`, `processes`, `hardware`,
            `notes`, `warnings` and `versions` are shown where they are there.
        lines: of `metrics.jsonl`.
    """
    end = _end(lines)
    epochs = [line for line in lines if line["kind"] == "epoch"]
    return (
        new_environment(FILTERS)
        .get_template("training.html.j2")
        .render(
            title=facts.title(document),
            place=document.get("out"),
            warnings=facts.warnings(document, lines),
            keys=facts.keys(document, lines),
            drawings=[(panel.heading, _svg(panel, end)) for panel in panels_of(lines)],
            epochs=epochs,
            scores=[s for s in SCORES if any(line.get(s.key) is not None for line in epochs)],
            events=facts.events(lines),
            tables=facts.tables(document),
            advice=Markup(facts.advice(document)),
            version=package_version("microtome") or "",
        )
    )


def _line(row: bytes) -> Line:
    line = json.loads(row)
    if not isinstance(line, dict) or not {"kind", "step"} <= line.keys():
        raise ValueError("it has no kind and step")
    return line


def _draw(axes: "Axes", panel: Panel) -> None:
    axes.set_title(panel.heading, loc="left", fontsize=10, fontweight="bold")
    axes.set_ylim(*panel.y)
    axes.grid(color=RULE)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=SOFT)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("step", fontsize=8, color=SOFT)
    if panel.level is not None:
        axes.axhline(panel.level, color=SOFT, linestyle=(0, (4, 4)), linewidth=1)
    for curve in panel.curves:
        steps, values = zip(*curve.points, strict=True)
        style: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.4} if curve.faint else {}
        marker = "o" if len(steps) <= MARKED else None
        axes.plot(steps, values, color=drawings.COLOURS[0], marker=marker, markersize=3, **style)


def _svg(panel: Panel, end: float) -> Markup:
    drawn = [
        drawings.Line(
            curve.points, 0, faint=curve.faint, mark=None if curve.faint else curve.points[-1]
        )
        for curve in panel.curves
    ]
    title = f"{panel.heading}, over steps"
    axes = drawings.Axes(title, "step", "", x=(0.0, end), y=panel.y, level=panel.level)
    return drawings.draw_lines(drawn, axes)


def _end(lines: Sequence[Line]) -> float:
    """Give the end of the axis of steps: the last step, or a little more for rounder ticks."""
    tick = max((line["step"] for line in lines), default=0) / drawings.TICKS
    unit = 10 ** max(0, math.floor(math.log10(max(tick, 1))) - 1)
    return float(max(1, math.ceil(tick / unit)) * unit * drawings.TICKS)


FILTERS = {"plural": plural, "count": facts.count, "decimals": facts.decimals, "duration": duration}
"""Numbers as a person reads them."""
