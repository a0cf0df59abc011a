"""What is said of exports, and of bags that were brought in."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import duration, plural, size
from workflows.views.common import Document, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_WARNINGS = 20


def export(document: Document) -> "Iterator[RenderableType]":
    """What was written, what a person should know of it, and where it is."""
    yield f"slides   {_counts(document['slides'])}"
    yield (
        f"patches  {document['patches']:,} of {document['encoder']} as {document['format']} "
        f"in {duration(document['seconds'])}"
    )
    yield plain(
        f"folder   {document['out']} ({plural(document['files'], 'file')}, "
        f"{size(document['bytes'])})"
    )
    if document["empty"]:
        yield plain(f"empty    {', '.join(document['empty'])}")
    if document["unreadable"]:
        yield f"unreadable patches: {document['unreadable']:,}"
    for sentence in document["warnings"][:MOST_WARNINGS]:
        yield plain(f"note     {sentence}")
    more = len(document["warnings"]) - MOST_WARNINGS
    if more > 0:
        yield f"… and {more:,} more; microtome.json lists all"
    yield from _failures(document["failed"])


def imported(document: Document) -> "Iterator[RenderableType]":
    """What was brought into the archive."""
    yield f"slides   {_counts(document['slides'])}"
    yield plain(
        f"patches  {document['patches']:,} as {document['encoder']} in {document['archive']}"
    )
    if document["missing"]:
        yield f"without a row, stored as NaN: {plural(document['missing'], 'unreadable patch')}"
    yield from _failures(document["failed"])


def _counts(slides: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in slides.items() if count) or "none"


def _failures(failed: dict[str, str]) -> "Iterator[RenderableType]":
    for slide_id, reason in failed.items():
        yield plain(f"failed   {slide_id}: {reason}")
