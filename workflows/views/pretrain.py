"""What `microtome pretrain` tells at its end."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import duration, plural
from workflows.views.common import Document, plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def pretrain(document: Document) -> "Iterator[RenderableType]":
    """Say what was trained on what, what to beware of, and where it is."""
    yield from trained(document, document["config"]["method"])
    if document["finished"]:
        yield plain(f"encoder  {document['files']['encoder']}")
        yield plain(f"report   {document['files']['report']}")
        yield plain(f"next     microtome embed ARCHIVE --encoder {document['files']['encoder']}")


def trained(document: Document, name: str) -> "Iterator[RenderableType]":
    """Say what was trained on what, and what to beware of; of any training."""
    data = document["data"]
    if document["skipped"]:
        yield plain("finished before: nothing to do")
    yield plain(
        f"{name:<8} {plural(data['patches'], 'patch')} of "
        f"{plural(data['slides'], 'slide')}, {plural(document['training']['epochs'], 'epoch')} of "
        f"{document['steps'] // document['training']['epochs']} steps in "
        f"{duration(document['wall_seconds'])}"
    )
    for text in document["notes"]:
        yield plain(f"note     {text}")
    if not document["finished"]:
        yield plain(f"stopped at step {document['step']}; the same command goes on")
