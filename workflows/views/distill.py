"""What `microtome distill` tells at its end."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import duration
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auroc": "macro AUROC"}


def distill(document: Document) -> "Iterator[RenderableType]":
    """One row per stage, what to beware of, and where everything is."""
    for text in document["notes"]:
        yield plain(f"note     {text}")
    if not document["finished"]:
        where = document["stopped"]
        yield plain(
            f"stopped in {where['stage']} at step {where['step']}; the same command goes on"
        )
        return
    table = new_table("stage", "#patches", "#steps", *(f"#{n}" for n in SHOWN.values()), "#time")
    for line in document["stages"]:
        scores = [_interval(line["scores"][name]) for name in SHOWN]
        counts = [f"{line['patches']:,}", f"{line['steps']:,}"]
        table.add_row(line["name"], *counts, *scores, duration(line["seconds"]))
    yield table
    yield plain(f"model    {document['model']}")
    yield plain(f"report   {document['files']['report.html']}")
    encoder = f"{document['stages'][-1]['folder']}/encoder.safetensors"
    yield plain(f"next     microtome embed ARCHIVE --encoder {encoder}")


def _interval(found: Document | None) -> str:
    if found is None:
        return "-"
    ends = "" if found["low"] is None else f" ({found['low']:.3f}-{found['high']:.3f})"
    return f"{found['value']:.3f}{ends}"
