"""What is said of maps that were made."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import duration, plural, size
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def mapped(document: Document) -> "Iterator[RenderableType]":
    """What was mapped and how, the classes' areas, what failed, and where it is."""
    counts = ", ".join(f"{count:,} {state}" for state, count in document["slides"].items() if count)
    yield f"slides   {counts or 'none'}"
    if "windows" in document:
        yield from _pixels(document)
    for note in [*document.get("notes", []), *document.get("forced", [])]:
        yield plain(f"note     {note}")
    areas = _areas(document)
    if areas is not None:
        yield areas
    yield plain(f"archive  {document['archive']}: */maps/{document['map']}")
    if document["out"] is not None:
        yield plain(f"files    {document['out']}/<slide>/{document['map']}.*")
    for outcome in document["outcomes"]:
        if outcome["state"] == "failed":
            yield plain(f"failed   {outcome['slide_id']}: {outcome['error']}")
        elif outcome.get("unreadable"):
            count = plural(outcome["unreadable"], "unreadable window")
            yield plain(f"note     {outcome['slide_id']}: {count}, taken for white")


def _pixels(document: Document) -> "Iterator[RenderableType]":
    """How windows were computed."""
    setting, card = document["setting"], document["model"]["card"]
    yield (
        f"windows  {document['windows']:,} in {duration(document['map_seconds'])}: "
        f"{document['windows_per_s']:,.1f} windows/s (+ {size(document['bytes'])})"
    )
    gate = document["model"]["gate"]
    told = f"gate {gate['on']} > {gate['epsilon']:g}" if gate else "no gate"
    yield plain(
        f"model    {card['name']} ({card['architecture']} on {card['encoder']}), "
        f"{document['mpp']:.4g} um/px, windows of {document['window_px']} px that share "
        f"{document['overlap_px']} px, {told}"
    )
    yield plain(f"setting  {setting['device']}, {setting['precision']}")


def _areas(document: Document) -> "Table | None":
    """One row per slide, one column per class."""
    known = [one for one in document["outcomes"] if one.get("areas")]
    if not known:
        return None
    names = [row["name"] for row in known[0]["areas"]["classes"]]
    table = new_table("slide", *(f"#{name}, mm2" for name in names), "#all, mm2")
    for one in known[:MOST_SHOWN]:
        areas = one["areas"]
        values = [row["area_mm2"] for row in areas["classes"]]
        cells = [f"{value:,.3f}" for value in (*values, areas["area_mm2"])]
        table.add_row(plain(one["slide_id"]), *cells)
    return table


MOST_SHOWN = 50
"""Slides in the table; --json has all."""
