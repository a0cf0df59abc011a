"""What is said of models of tissue and their maps."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workflows.units import plural
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

WAYS = {"cam": "activation maps", "segmenter": "without gate", "gated": "with gate"}
SCORES = {
    "miou": "mean IoU",
    "fwiou": "frequency-weighted IoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
}


def evaluate(document: Document) -> "Iterator[RenderableType]":
    """Scores of all ways side by side, what to beware of, and where the files are."""
    model = next(iter(document["models"].values()))
    yield plain(
        f"{model['name']}: {plural(document['patches']['scored'], 'patch')} of "
        f"{plural(document['patients'], 'patient')}"
    )
    for note in (*document["forced"], *document["notes"]):
        yield plain(f"note      {note}")
    yield from _tables(document)
    level = document["patch_level"]
    if level:
        yield plain(
            f"stage 1   exact match {_interval(level['exact'])}, "
            f"Jaccard {_interval(level['jaccard'])} of {plural(level['patches'], 'patch')}"
        )
    for kind, place in document["files"].items():
        yield plain(f"{kind:<9} {place}")


def _tables(document: Document) -> "Iterator[RenderableType]":
    """One table without background, and one with it where it is known."""
    for key in ("without_background", "with_background"):
        scores = {way: known[key] for way, known in document["scores"].items() if known[key]}
        if not scores:
            continue
        table = new_table(key.replace("_", " "), *(f"#{WAYS[way]}" for way in scores))
        for name, told in SCORES.items():
            table.add_row(told, *(_interval(known[name]) for known in scores.values()))
        for number, name in enumerate([*document["classes"], "background"]):
            if number < len(next(iter(scores.values()))["iou"]):
                found = [_interval(known["iou"][number]) for known in scores.values()]
                table.add_row(plain(f"IoU of {name}"), *found)
        yield table


def _interval(found: dict[str, Any] | None) -> str:
    if not found:
        return "-"
    ends = "" if found["low"] is None else f" ({found['low']:.3f} to {found['high']:.3f})"
    return f"{found['value']:.3f}{ends}"
