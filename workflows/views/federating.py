"""What is said of federated trainings."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import duration, plural
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def simulated(document: Document) -> "Iterator[RenderableType]":
    """Say who trained together, for how many rounds, and where the encoder is."""
    if document["skipped"]:
        yield plain("finished before: nothing to do")
    data = document["data"]
    yield plain(
        f"{document['config']['method']:<8} {plural(data['patches'], 'patch')} of "
        f"{plural(len(data['sites']), 'site')}, {plural(document['step'], 'round')} in "
        f"{duration(document['wall_seconds'])}"
    )
    for text in document["notes"]:
        yield plain(f"note     {text}")
    if not document["finished"]:
        yield plain(f"stopped after round {document['step']}; the same command goes on")
        return
    yield plain(f"encoder  {document['files']['encoder']}")
    yield plain(f"report   {document['files']['report']}")


def experiment(document: Document) -> "Iterator[RenderableType]":
    """One row per start, mode and number of annotated patients, and where the files are."""
    table = new_table("start", "fine-tuned", "#patients", "#seeds", "#Dice", "#sd of sites")
    for line in document["settings"]:
        found = line["dice"]
        words = ["-", "-"] if found is None else [f"{found['value']:.3f}", f"{found['sd']:.3f}"]
        table.add_row(line["start"], line["mode"], f"{line['n']}", f"{len(line['seeds'])}", *words)
    yield table
    for line in document["failed"]:
        yield plain(f"failed   {line['name']}: {line['error']}")
    for name, place in document["files"].items():
        yield plain(f"{name:<12} {place}")


def took_part(document: Document) -> "Iterator[RenderableType]":
    """Say in how many rounds a site took part."""
    count = len({line["round"] for line in document["rounds"]})
    yield plain(f"{document['site']} took part in {plural(count, 'round')}")
    if not document["over"]:
        yield plain("the server was lost before the end; the same command joins again")


def partition(document: Document) -> "Iterator[RenderableType]":
    """Count the patches of every class."""
    yield plain(f"{document['by']:<8} {plural(document['slides'], 'slide')}")
    for name, count in document["patches"].items():
        yield plain(f"  {name:<6} {plural(count, 'patch')}")
    if document["unknown"]:
        yield plain(f"  unknown {plural(document['unknown'], 'patch')}")
