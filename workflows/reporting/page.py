"""The page: facts into the template. All is in one file, which asks the network for nothing."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from workflows.reporting.facts import SlideFacts, failures_by_cause, totals
from workflows.reporting.html import new_environment
from workflows.reporting.plots import bars, histogram
from workflows.units import duration, plural, short, size

FEW = 8
"""Slides under one cause of failure that are seen at once; the others are folded away."""

MOST_LISTED = 500
"""Slides that are listed under one cause of failure."""

MOST_OPEN = 50
"""Slides up to which their table is unfolded."""


CAUSES = {
    "UnreadableSlideError": "The slide cannot be read",
    "UnsupportedSlideError": "No reader knows the format",
    "MissingReaderError": "A reader is not installed",
    "MissingMppError": "The slide does not say its microns per pixel",
    "RegionError": "A part of the slide cannot be read",
    "DamagedSlideError": "Too much of the slide is unreadable",
    "PlanError": "What was asked for cannot be cut from the slide",
    "ConflictError": "The archive holds another version",
    "StoreError": "The archive could not be written",
    "LeaseError": "Another run took the slide over",
    "KilledWorker": "Workers died on it",
}
"""Class of an error, and what it means to a person."""


def render_page(
    location: str, slides: Sequence[SlideFacts], run: dict[str, Any] | None, version: str
) -> str:
    """Give the page as HTML.

    Args:
        location: of the archive.
        slides: all of the archive.
        run: record of the last run, where there is one.
        version: of microtome.
    """
    environment = new_environment(FILTERS)
    readable = [slide for slide in slides if not slide.error]
    return environment.get_template("report.html.j2").render(
        name=PurePosixPath(location.rstrip("/")).name,
        location=location,
        slides=slides,
        noted=[slide for slide in slides if slide.notes],
        pictured=sum(slide.pictures is not None for slide in slides),
        totals=totals(slides),
        run=run,
        failures=failures_by_cause(run),
        few=FEW,
        most_listed=MOST_LISTED,
        most_open=MOST_OPEN,
        plots=_plots(readable),
        version=version,
    )


def _plots(slides: Sequence[SlideFacts]) -> list[tuple[str, str]]:
    """Heading and drawing of each plot."""
    if not slides:
        return []
    patches = [slide.attributes["n_patches"] for slide in slides]
    sizes = [slide.size for slide in slides]
    shares = sum((slide.tissue_counts for slide in slides[1:]), slides[0].tissue_counts)
    return [
        (
            "Patches per slide",
            bars(
                patches,
                title=f"Patches per slide: {min(patches):,} to {max(patches):,}",
                below="slides, most patches first",
                label=short,
            ),
        ),
        (
            "Tissue share of kept patches",
            histogram(
                shares.tolist(),
                title="Number of kept patches by the share of the patch that is tissue",
                below="share of the patch that is tissue",
                ends=("0", "100 %"),
            ),
        ),
        (
            "Size per slide",
            bars(
                sizes,
                title=f"Stored bytes per slide: {size(min(sizes))} to {size(max(sizes))}",
                below="slides, largest first",
                label=size,
            ),
        ),
    ]


def _told(cause: str) -> str:
    return CAUSES.get(cause, "Another error")


def _origin(origin: str) -> str:
    told = {"override": "given by an option or in the manifest", "unknown": "not known"}
    return told.get(origin, f"from {origin}")


def _moment(iso: str) -> str:
    """Give a moment in UTC to the minute."""
    return f"{iso[:10]} {iso[11:16]} UTC"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _um(value: float) -> str:
    return f"{value:.4g}"


def _axes(values: Sequence[float | None]) -> str:
    """Give two numbers, or one where both are the same; a dash for what is not known."""
    x, y = ("–" if value is None else f"{value:.4g}" for value in values)  # noqa: RUF001 - a dash
    return x if x == y else f"{x} × {y}"  # noqa: RUF001 - the multiplication sign is meant


FILTERS = {
    "size": size,
    "duration": duration,
    "plural": plural,
    "number": _number,
    "um": _um,
    "axes": _axes,
    "told": _told,
    "origin": _origin,
    "moment": _moment,
}
