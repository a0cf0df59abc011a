"""What is said of embeddings that were made."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.units import duration, size
from workflows.views.common import Document, plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def embed(document: Document) -> "Iterator[RenderableType]":
    """What was embedded and how, what failed, and where it is."""
    counts = ", ".join(f"{count:,} {state}" for state, count in document["slides"].items() if count)
    yield f"slides   {counts or 'none'}"
    yield (
        f"patches  {document['patches']:,} in {duration(document['seconds'])}: "
        f"{document['patches_per_s']:,.0f} patches/s after "
        f"{duration(document['setup_seconds'])} of preparation"
    )
    card = document["card"]
    yield plain(
        f"encoder  {card['name']} ({card['weights']}), layer {card['layer']}, "
        f"{card['dim']:,} {document['dtype']} per patch"
    )
    yield plain(f"setting  {_setting(document['setting'])}")
    for note in document["notes"]:
        yield plain(f"note     {note}")
    for sentence in document["forced"]:
        yield plain(f"forced   {sentence}")
    where = f"*/embeddings/{document['encoder_id']}"
    yield plain(f"archive  {document['archive']}: {where} (+ {size(document['bytes'])})")
    for outcome in document["outcomes"]:
        if outcome["state"] == "failed":
            yield plain(f"failed   {outcome['slide_id']}: {outcome['error']}")


def _setting(setting: Document) -> str:
    layout = "channels-last" if setting["channels_last"] else "contiguous"
    compiled = ", compiled" if setting["compiled"] else ""
    batch = f", {setting['batch']} at a time" if setting["batch"] else ""
    words = f"{setting['device']}, {setting['precision']}, {layout}{compiled}{batch}"
    rates = "; ".join(f"{name} {rate:,.1f}/s" for name, rate in setting["rates"].items())
    return f"{words}: {setting['why']}" + (f" ({rates})" if rates else "")
