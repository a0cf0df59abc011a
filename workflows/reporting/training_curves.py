"""Which curves the lines of a training make: for the picture and for the page alike."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Line = dict[str, Any]
Points = list[tuple[float, float]]

MOST_POINTS = 600
"""Points of a curve: more than a panel has pixels across."""
WINDOWS = 40
"""The moving mean is over the lines of one part in so many of the run."""
FEW = 10
"""Lines that need no moving mean."""
ENDS = 0.01
"""Share of the values at either end that may lie beyond an axis, as one spike must hide nothing."""
TICKS = 5
WHOLE = (0.0, 1.0)

COLLAPSED_SPREAD, COLLAPSED_RANK = 0.02, 1.5
"""Below which the collapse guard of `models.training` strikes; said again, as it brings torch."""
MOST_WAITING = 0.05
"""Share of the time that a good data path makes a device wait."""


@dataclass(frozen=True, slots=True)
class Score:
    """What an epoch is judged by.

    Attributes:
        key: in the lines.
        name: in tables.
        small: print beside it.
        curve: heading of its drawing.
    """

    key: str
    name: str
    small: str
    curve: str


SCORES = (
    Score("knn", "Nearest neighbours", "balanced accuracy", "Balanced accuracy of neighbours"),
    Score("miou", "Validation mIoU", "of the last epoch", "Mean IoU of validation patches"),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points by step; a faint one is drawn thin below its companion."""

    points: Points
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing.

    Attributes:
        heading: what is shown.
        curves: from back to front, none empty.
        y: ends of the axis.
        level: drawn as a broken line, where one matters.
    """

    heading: str
    curves: tuple[Curve, ...]
    y: tuple[float, float]
    level: float | None = None


def panels_of(lines: Sequence[Line]) -> list[Panel]:
    """Give a panel for everything that the lines tell of, the most important first."""
    steps = [line for line in lines if line["kind"] == "step"]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    found = [
        _panel("Loss, and its moving mean", _smoothed(_points(steps, "loss"))),
        _panel("Learning rate", _single(_points(steps, "lr")), low=0.0),
        *(_panel(score.curve, _single(_points(epochs, score.key)), y=WHOLE) for score in SCORES),
        _panel(
            "Spread of embeddings, 1 at best",
            _single(_points(epochs, "std_of_best")),
            y=WHOLE,
            level=COLLAPSED_SPREAD,
        ),
        _panel(
            "Effective rank of embeddings",
            _single(_points(epochs, "effective_rank")),
            low=0.0,
            level=COLLAPSED_RANK,
        ),
        *(_panel(_heading(name), _smoothed(_metric(steps, name))) for name in _metrics(steps)),
        _panel("Momentum of the twin", _single(_points(steps, "momentum"))),
        _panel("Length of the gradient", _smoothed(_points(steps, "grad_norm")), low=0.0),
        _panel("Patches per second", _smoothed(_points(steps, "patches_per_s")), low=0.0),
        _panel(
            "Share of the time waiting for data",
            _smoothed(_points(steps, "waiting")),
            low=0.0,
            level=MOST_WAITING,
        ),
    ]
    return [panel for panel in found if panel is not None]


def moving_mean(points: Points, window: int, most: int = MOST_POINTS) -> Points:
    """Average points with the `window - 1` before them, or with as many as there are.

    Where there are more than `most` points, evenly chosen ones and the last get a mean.
    """
    stride = max(1, -(-len(points) // most))
    places = range((len(points) - 1) % stride, len(points), stride)
    means = []
    for place in places:
        near = [value for _, value in points[max(0, place + 1 - window) : place + 1]]
        means.append((points[place][0], math.fsum(near) / len(near)))
    return means


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """Keep the lowest and the highest of every bucket, so that no spike gets lost."""
    if len(points) <= most:
        return points
    buckets = most // 2
    kept: Points = []
    for number in range(buckets):
        start, stop = (len(points) * (number + i) // buckets for i in (0, 1))
        places = range(start, stop)
        ends = {min(places, key=_value(points)), max(places, key=_value(points))}
        kept += [points[place] for place in sorted(ends)]
    return kept


def span(values: Iterable[float], low: float | None = None) -> tuple[float, float]:
    """Give ends of an axis with round ticks around almost all values.

    Args:
        values: at least one, all finite.
        low: the lower end, where it is fixed.
    """
    ordered = sorted(values)
    beyond = int(len(ordered) * ENDS)
    first = ordered[beyond] if low is None else low
    last = ordered[len(ordered) - 1 - beyond]
    if last <= first:  # one value only
        last = first + (abs(first) * 0.1 or 1.0)
    power = 10.0 ** math.floor(math.log10((last - first) / TICKS))
    steps = (factor * power for factor in (1, 2, 2.5, 5, 10, 20))
    ends = ((step * math.floor(first / step + 1e-9), step) for step in steps)
    return next(
        (start, start + TICKS * s) for start, s in ends if start + TICKS * s >= last - 1e-9 * s
    )


def _panel(
    heading: str,
    curves: tuple[Curve, ...],
    *,
    low: float | None = None,
    y: tuple[float, float] | None = None,
    level: float | None = None,
) -> Panel | None:
    values = [value for curve in curves for _, value in curve.points]
    if not values:
        return None
    drawn = tuple(Curve(thin(curve.points), curve.faint) for curve in curves)
    return Panel(heading, drawn, y or span(values, low), level)


def _single(points: Points) -> tuple[Curve, ...]:
    return (Curve(points),)


def _smoothed(points: Points) -> tuple[Curve, ...]:
    if len(points) < FEW:
        return _single(points)
    window = max(FEW // 2, len(points) // WINDOWS)
    return Curve(points, faint=True), Curve(moving_mean(points, window))


def _points(lines: Iterable[Line], name: str) -> Points:
    """Give the finite values under a name; others leave no point."""
    return [
        (float(line["step"]), float(line[name])) for line in lines if _is_number(line.get(name))
    ]


def _metric(lines: Iterable[Line], name: str) -> Points:
    told = ({"step": line["step"], **line.get("metrics", {})} for line in lines)
    return _points(told, name)


def _metrics(lines: Iterable[Line]) -> list[str]:
    """Names of the method's metrics, in the order in which they first appear."""
    return list(dict.fromkeys(name for line in lines for name in line.get("metrics", {})))


def _heading(name: str) -> str:
    plain = name.replace("_", " ")
    return plain[:1].upper() + plain[1:]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _value(points: Points) -> Any:
    return lambda place: points[place][1]
