"""What is said of slide classifiers and their predictions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workflows.units import duration, plural
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "macro_auroc": "AUROC, mean of classes",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
}

MOST_LISTED = 10
"""Bags that are named; --json names all."""


def train(document: Document) -> "Iterator[RenderableType]":
    """Scores, what was left out, and where the run is."""
    folds = document["folds"]
    yield plain(
        f"{document['model']['name']} on {document['encoder']}: {_bags(document)}, "
        f"{plural(len(folds), 'fold')} in {duration(document['seconds'])}"
    )
    yield from _left_out(document["bags"])
    yield _scores(document)
    yield plain(f"run      {document['folder']}")
    yield plain(f"report   {document['report']}")


def evaluate(document: Document) -> "Iterator[RenderableType]":
    """Scores, and how they compare with another run's."""
    yield plain(
        f"{document['model']['name']} on {document['encoder']}, {document['folder']}: "
        f"{_bags(document)}"
    )
    yield from _notes(document)
    yield from _left_out(document["bags"])
    yield _scores(document)
    if document["comparison"]:
        yield plain(f"\nagainst {document['against']['folder']}, this run minus the other:")
        yield _comparison(document)
    for kind, place in document["files"].items():
        yield plain(f"{kind:<8} {place}")


def predict(document: Document) -> "Iterator[RenderableType]":
    """One row per bag."""
    yield from _notes(document)
    columns = [f"#{name}" for name in _classes(document)]
    table = new_table(document["unit"], "#patches", "predicted", *columns)
    for row in document["predictions"]:
        chances = row["probabilities"] or [None] * len(columns)
        told = ["-" if chance is None else f"{chance:.3f}" for chance in chances]
        predicted = row["predicted"] or "no patches"
        table.add_row(plain(row["bag"]), f"{row['patches']:,}", plain(predicted), *told)
    yield table
    if document["map"]:
        yield plain(f"maps     */maps/{document['map']} of {plural(document['maps'], 'slide')}")
    for kind, place in document["files"].items():
        yield plain(f"{kind:<8} {place}")


def _classes(document: Document) -> list[str]:
    return [str(name) for name in document["classes"]]


def _bags(document: Document) -> str:
    bags = document["bags"]
    counts = ", ".join(f"{count:,} {name}" for name, count in bags["of_class"].items())
    return f"{plural(bags['used'], document['unit'])} ({counts})"


def _notes(document: Document) -> "Iterator[RenderableType]":
    for note in document["notes"]:
        yield plain(f"note     {note}")


def _left_out(bags: Document) -> "Iterator[RenderableType]":
    for kind, told in (("empty", "without patches"), ("unlabelled", "without a label")):
        names = bags[kind]
        if names:
            more = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
            listed = ", ".join(names[:MOST_LISTED])
            yield plain(f"left out {plural(len(names), 'bag')} {told}: {listed}{more}")


def _scores(document: Document) -> "Table":
    scores = document["scores"]
    table = new_table("", "#mean over folds (95 % CI)", "#over patients (95 % CI)")
    for name, values in scores["per_class"].items():
        for label, value in zip(_classes(document), values, strict=True):
            table.add_row(plain(f"{NAMES[name]} of {label}"), *_both(value))
    for name, value in scores["overall"].items():
        table.add_row(NAMES[name], *_both(value))
    return table


def _both(value: Document) -> tuple[str, str]:
    return _interval(value["over_folds"]), _interval(value["over_patients"])


def _comparison(document: Document) -> "Table":
    table = new_table("", "#this", "#other", "#difference (95 % CI)", "#p", "#p DeLong")
    for name, values in document["comparison"].items():
        labels = _classes(document) if len(values) > 1 else [""]
        for label, value in zip(labels, values, strict=True):
            if value:
                table.add_row(plain(f"{NAMES[name]} {label}".rstrip()), *_compared(value))
    return table


def _compared(value: Document) -> list[str]:
    return [
        f"{value['first']['value']:.3f}",
        f"{value['second']['value']:.3f}",
        _interval(value["difference"], "+.3f"),
        _p(value["p"]),
        _p(value["delong"]["p"] if value["delong"] else None),
    ]


def _interval(found: dict[str, Any] | None, form: str = ".3f") -> str:
    if not found:
        return "-"
    if found["low"] is None:
        return f"{found['value']:{form}}"
    return f"{found['value']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
