"""Exports in this process, through the folder that the workflow uses."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.bags.cohort import select_bags
from models.bags.folder import ExportFolder
from models.bags.importing import import_bag
from models.bags.record import ExportSpec
from models.bags.table import choose_dtype, open_format
from models.encoders.card import EncoderCard
from tests.models.bags.planted import ENCODER
from tiling.embeddings import Embeddings
from tiling.store import Archive


def export_folder(archive: Path, name: str, out: Path, **choices: Any) -> ExportFolder:
    """Open an export folder and write every slide of it, but not the summary."""
    opened = Archive.open(str(archive))
    slide_ids = choices.get("slide_ids") or opened.slide_ids()
    encoder = choices.get("encoder", ENCODER)
    keep, prefix = choices.get("keep_unreadable", False), choices.get("prefix", "")
    chosen = select_bags(opened, encoder, slide_ids, keep_unreadable=keep, prefix=prefix)
    dtype = choose_dtype(name, open_format(name), chosen.bags[0].dtype, choices.get("dtype"))
    spec = ExportSpec(name, encoder, chosen.card.identity, dtype, keep, prefix, "0")
    folder = ExportFolder(out, spec)
    folder.begin()
    records = folder.records()
    todo = [bag for bag in chosen.bags if not folder.is_done(bag, records)]
    if todo:
        folder.reopen()
    for bag in todo:
        folder.write(bag)
    return folder


def export(archive: Path, name: str, out: Path, **choices: Any) -> dict[str, Any]:
    """Export a whole archive; gives `microtome.json`."""
    folder = export_folder(archive, name, out, **choices)
    encoder = choices.get("encoder", ENCODER)
    opened = Archive.open(str(archive))
    slide_id = (choices.get("slide_ids") or opened.slide_ids())[0]
    card = select_bags(opened, encoder, [slide_id, "quarter"]).card
    path = folder.finish(card, {"archive": "planted"})
    summary: dict[str, Any] = json.loads(path.read_text())
    return summary


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def bring_back(archive: Path, name: str, out: Path, encoder: str, prefix: str = "") -> list[str]:
    """Import all bags of a folder under another encoder's ID; gives the slides."""
    opened = Archive.open(str(archive))
    found = []
    for bag in open_format(name).read(out):
        slide_id = bag.name.removeprefix(prefix)
        card = Embeddings(opened["quarter"], ENCODER).attributes["card"]
        import_bag(bag, opened[slide_id], encoder, EncoderCard.model_validate(card), {})
        found.append(slide_id)
    return found


def assert_round_trip(archive: Path, name: str, out: Path, decimals: float = 0.0) -> None:
    """Our importer reads our files back to what the archive has, patch by patch."""
    export(archive, name, out)
    for slide_id in bring_back(archive, name, out, "back"):
        store = Archive.open(str(archive))[slide_id]
        expected, found = Embeddings(store, ENCODER).read(), Embeddings(store, "back").read()
        assert np.allclose(found, expected, rtol=decimals, atol=0), slide_id
