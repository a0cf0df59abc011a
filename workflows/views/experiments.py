"""What is said of experiments."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import plural
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def label_efficiency(document: Document) -> "Iterator[RenderableType]":
    """One row per method and share, what failed, and where the files are."""
    table = new_table(
        "method", "#labels", "#seeds", "#loss", "#accuracy", "#balanced accuracy", "#macro AUROC"
    )
    for line in document["settings"]:
        scores = [_score(line["scores"].get(name)) for name in METRICS]
        share = f"{100 * line['fraction']:g} %"
        table.add_row(plain(line["method"]), share, f"{len(line['seeds'])}", *scores)
    yield table
    yield from _end(document)


METRICS = ("loss", "accuracy", "balanced_accuracy", "macro_auroc")


def data_efficiency(document: Document) -> "Iterator[RenderableType]":
    """One row per setting and judge, what failed, and where the files are."""
    table = new_table(
        "#", "row", "judge", "#seeds", "#balanced accuracy", "#macro AUROC", "#pretraining"
    )
    for line in document["rows"]:
        for judge in document["judges"]:
            found = line["scores"].get(judge) or {}
            scores = [_score(found.get(name)) for name in METRICS[2:]]
            time = line["pretraining"]
            spent = "-" if time is None else f"{100 * time['share']:.0f} %"
            state = line["remark"] or f"{len(line['seeds'])}"
            table.add_row(f"{line['number']}", plain(line["name"]), judge, state, *scores, spent)
    yield table
    yield from _end(document)


def distillation(document: Document) -> "Iterator[RenderableType]":
    """One row per student, what failed, and where the files are."""
    names = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auroc": "macro AUROC"}
    table = new_table("#", "student", "#seeds", *(f"#{name}" for name in names.values()))
    for line in document["rows"]:
        scores = [_score(line["scores"].get(name)) for name in names]
        table.add_row(f"{line['number']}", plain(line["name"]), f"{len(line['seeds'])}", *scores)
    yield table
    yield from _end(document)


def _score(found: Document | None) -> str:
    if not found:
        return "-"
    ends = "" if found["low"] is None else f" ({found['low']:.3f}-{found['high']:.3f})"
    return f"{found['value']:.3f}{ends}"


def _end(document: Document) -> "Iterator[RenderableType]":
    tested = document["split"]["test"]
    yield (
        f"tested   on {plural(tested['patches'], 'patch')} of "
        f"{plural(tested['patients'], 'patient')}; means over seeds, 95 % intervals over patients"
    )
    for text in document["leaky"]:
        yield plain(f"leaky    {text}")
    for line in document["failed"]:
        yield plain(f"failed   {line['name']}: {line['error']}")
    for name, place in document["files"].items():
        yield plain(f"{name:<12} {place}")
