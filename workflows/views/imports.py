"""What is said of an import."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import plural
from workflows.views.archive import tile
from workflows.views.common import Document

if TYPE_CHECKING:
    from rich.console import RenderableType

HOW = {
    "imported": "the files' own bytes",
    "lossless": "stored without loss",
}
"""What labels of encodings mean here; the slides' attributes say why."""


def imported(document: Document) -> "Iterator[RenderableType]":
    """What came in, how it is stored, what failed, and where it is."""
    yield from tile(document)
    for known in document["encodings"]:
        label = known["label"]
        yield f"stored   {plural(known['slides'], 'slide')}: {HOW.get(label, label)}"
    white = sum(outcome["unreadable"] for outcome in document["outcomes"])
    if white:
        yield f"white    {plural(white, 'image')} could not be read; status 2 in the archive"
