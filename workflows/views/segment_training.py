"""What is said of trained tissue networks and of pseudo masks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.segmenting.table import HEADINGS, percent
from workflows.units import duration, plural
from workflows.views.common import Document, new_table, plain
from workflows.views.pretrain import trained

if TYPE_CHECKING:
    from rich.console import RenderableType


def classify(document: Document) -> "Iterator[RenderableType]":
    """Say what was trained, and what comes next."""
    yield from _training(document, "classifier")
    if document["finished"]:
        yield plain(f"next     microtome segment pseudo-masks ARCHIVE --model {document['out']}")


def train(document: Document) -> "Iterator[RenderableType]":
    """Say what was trained, and what comes next."""
    yield from _training(document, "segmenter")
    if document["finished"]:
        model = f"--model {document['out']} --classifier FOLDER-OF-CLASSIFY"
        yield plain(f"next     microtome segment evaluate ARCHIVE {model}")
        yield plain(f"         microtome map SLIDES {model} --out FOLDER")


def pseudo_masks(document: Document) -> "Iterator[RenderableType]":
    """Say how many masks were made, and of what they are."""
    for note in document["notes"]:
        yield plain(f"note     {note}")
    slides = len(document["slides"])
    skipped = f", {document['skipped']} had them already" if document["skipped"] else ""
    yield plain(
        f"masks    {', '.join(document['arrays'])} of {plural(document['patches'], 'patch')} of "
        f"{plural(slides, 'slide')}{skipped} in {duration(document['wall_seconds'])}"
    )
    if document["shares"]:
        table = new_table("class", "#pixels")
        names = [*document["classes"], "background"]
        for name, share in zip(names, document["shares"], strict=True):
            table.add_row(name, f"{100 * share:.1f} %")
        yield table
    if document["empty"]:
        yield plain(f"note     {plural(document['empty'], 'patch')} without any mask")
    if document["png"] is not None:
        yield plain(f"pictures {document['png']}")
    yield plain(f"next     microtome segment train ARCHIVE --masks {document['name']} --out FOLDER")


def run(document: Document) -> "Iterator[RenderableType]":
    """Show the table, and say where everything is."""
    if not document["finished"]:
        yield plain("stopped; the same command goes on")
        return
    for note in document["notes"]:
        yield plain(f"note     {note}")
    table = new_table("prediction", *(f"#{heading}" for heading in HEADINGS.values()))
    for way, scores in document["table"].items():
        table.add_row(way, *(percent(*scores[name]) for name in HEADINGS))
    yield table
    for seed, folder in document["models"].items():
        yield plain(f"seed {seed:<4}{folder}")
    for kind, place in document["files"].items():
        yield plain(f"{kind:<8} {place}")


def _training(document: Document, what: str) -> "Iterator[RenderableType]":
    yield from trained(document, what)
    if document.get("best"):
        best = document["best"]
        yield plain(
            f"best     mean IoU {best['miou']:.3f} of validation, epoch {best['epoch'] + 1}"
        )
    if document["finished"]:
        yield plain(f"model    {document['files'][what]}")
        yield plain(f"report   {document['files']['report']}")
