"""What is said of encoders."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import plural
from workflows.views.common import Document, new_table, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_TIMM = 60
"""Networks of timm that a table shows; `--json` has all."""


def encoders(document: Document) -> "Iterator[RenderableType]":
    """One row per encoder, then timm's names where some were asked for."""
    if document["encoders"]:
        table = new_table("encoder", "#dim", "#px", "#um/px", "licence", "also called", "remark")
        for row in document["encoders"]:
            table.add_row(*_row(row))
        yield table
        yield "(gated: accept the licence on the encoder's page and set HF_TOKEN)"
    if "timm" not in document:
        yield "any network of timm works by its name: --find TEXT; hf-hub:OWNER/NAME works too"
        return
    yield from _timm(document)


def _row(row: Document) -> "list[RenderableType]":
    licence = row["licence"] + (", gated" if row["gated"] else "")
    return [
        plain(row["name"]),
        f"{row['dim']:,}",
        str(row["input_px"]),
        "-" if row["mpp"] is None else f"{row['mpp']:g}",
        plain(licence),
        plain(", ".join(row["aliases"])),
        plain(row["remark"]),
    ]


def _timm(document: Document) -> "Iterator[RenderableType]":
    found = document["timm"]
    asked = document["find"]
    if not found and not document["encoders"]:
        yield plain(f"no encoder has {asked!r} in its name")
        return
    if not found:
        return
    table = new_table("network of timm", "#px", "published weights, the default first")
    for row in found[:MOST_TIMM]:
        px = "-" if row["input_px"] is None else str(row["input_px"])
        table.add_row(plain(row["name"]), px, plain(", ".join(row["tags"]) or "none"))
    yield table
    more = len(found) - MOST_TIMM
    if more > 0:
        yield f"… and {plural(more, 'more network')}; --json lists all"
