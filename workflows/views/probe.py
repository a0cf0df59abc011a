"""Table of `microtome probe`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import plural
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def probe(document: Document) -> "Iterator[RenderableType]":
    """One row per fit, what to beware of, and where the files are."""
    table = new_table(
        "probe", "encoder", "#labels", "#balanced accuracy", "#accuracy", "#macro AUROC"
    )
    for line in document["lines"]:
        if line["kind"] == "score":
            found = [_interval(one) for one in line["metrics"].values()]
            share = f"{100 * line['fraction']:g} %"
            table.add_row(line["probe"], plain(line["encoder"]), share, *found)
    yield table
    split = document["split"]
    yield (
        f"split    by {split['how']}: {_side(split['train'])} teach, {_side(split['test'])} test; "
        "95 % intervals over patients"
    )
    if split["leaky"]:
        shared = plural(split["shared_patients"], "patient")
        yield f"leaky    {shared} on both sides of the split: every score is too good"
    for line in document["lines"]:
        yield from map(plain, _remarks(line))
    yield plain(f"report   {document['files']['report']}")


def _remarks(line: Document) -> Iterator[str]:
    if line["kind"] == "failed":
        yield f"failed   {line['probe']} of {line['encoder']}: {line['error']}"
    if line.get("unsettled"):
        yield f"unsettled {_unsettled(line)}"
    if line.get("checkpoint"):
        yield f"encoder  {line['checkpoint']}"
    if line.get("classifier"):
        yield f"linear   {line['classifier']}"


def _side(counts: Document) -> str:
    return f"{plural(counts['patches'], 'patch')} of {plural(counts['patients'], 'patient')}"


def _interval(found: Document | None) -> str:
    if found is None:
        return "-"
    ends = "" if found["low"] is None else f" ({found['low']:.3f}-{found['high']:.3f})"
    return f"{found['value']:.3f}{ends}"


def _unsettled(line: Document) -> str:
    return (
        f"linear of {line['encoder']} on {100 * line['fraction']:g} %: its training loss is "
        f"{line['loss']:.3g}, worse than guessing; use a lower --linear-rate than {line['rate']:g}"
    )
