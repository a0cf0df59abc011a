"""Tables for people, made from the documents that workflows give back. Nothing here prints."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workflows.progress import duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Document = dict[str, Any]


def tile(document: Document) -> "Iterator[RenderableType]":
    """What was cut, what failed, and where it is."""
    if "plans" in document:
        yield from plan(document)
        return
    slides = document["slides"]
    counts = ", ".join(f"{count:,} {state}" for state, count in slides.items() if count)
    yield f"slides   {counts or 'none'}"
    yield (
        f"patches  {document['patches']:,} in {duration(document['seconds'])}: "
        f"{document['patches_per_s']:,.0f} patches/s, {document['mb_per_s']:,.1f} MB/s"
    )
    yield f"archive  {document['archive']} (+ {size(document['bytes'])})"
    for kind in ("report", "failures"):
        if document["files"][kind]:
            yield f"{kind:<8} {document['files'][kind]}"
    for outcome in document["outcomes"]:
        if outcome["state"] == "failed":
            yield _text(f"failed   {outcome['slide_id']}: {outcome['error']}")


def size(count: float) -> str:
    """Bytes as a person reads them, in powers of ten as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 - the next unit
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"


def _table(*columns: str) -> "Table":
    """Columns of numbers are marked with `#` in front and go to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in columns:
        number = name.startswith("#")
        table.add_column(name.lstrip("#"), justify="right" if number else "left", overflow="fold")
    return table


def _text(text: str) -> "RenderableType":
    from rich.text import Text  # names of files may look like markup

    return Text(text)
