"""`microtome import bags`: embeddings in another tool's format back into the archive."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.errors import UsageError
from workflows.export import EXTRAS, FormatName
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from models.bags.table import ForeignBag
    from models.encoders.card import EncoderCard
    from tiling.store import Archive


class ImportBagsConfig(WorkflowConfig):
    """Bring bags of the same slides and patches back; rows are matched by their coordinates."""

    folder: Annotated[str, POSITIONAL]
    """Folder that the other tool, or `microtome export`, wrote."""
    format: FormatName
    """The tool whose files these are."""
    archive: str
    """Path or URL of the archive that holds the slides."""
    name: str
    """ID of the embeddings in the archive."""
    prefix_ids: str | None = None
    """Text that stands before our slide IDs in the files; by default what the export recorded."""


def run(config: ImportBagsConfig, progress: ProgressCallback) -> Outcome:
    """Import every bag of the folder; one that does not fit fails, and the others go on.

    Raises:
        BagError: the folder holds no such bags.
        StoreError: there is no archive.
        UsageError: the folder is missing.
    """
    with needs("models"):
        from models.bags.table import open_format
    from tiling.embeddings import array_key
    from tiling.store import Archive

    folder, archive = Path(config.folder), Archive.open(config.archive)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    array_key("any", config.name)  # a name that cannot be is refused before any work
    summary = _summary(folder)
    written = summary.get("spec", {}).get("format", config.format)
    if written != config.format:
        raise UsageError(f"{folder} was exported as {written}, not as {config.format}")
    prefix = config.prefix_ids
    if prefix is None:
        prefix = str(summary.get("spec", {}).get("prefix", ""))
    with needs(EXTRAS.get(config.format, "models")):
        bags = list(open_format(config.format).read(folder))
    results = []
    for bag in bags:
        card = _card(summary, config, bag)
        results.append(_import_one(config, archive, bag, bag.name.removeprefix(prefix), card))
        bad = sum(1 for one in results if one["error"])
        progress(Update(len(bags), len(results), bad))
    failed = {one["slide_id"]: one["error"] for one in results if one["error"]}
    return Outcome(_document(config, results, failed), SOME_FAILED if failed else ALL_GOOD)


def _summary(folder: Path) -> dict[str, Any]:
    """Read what our export recorded; nothing where another tool wrote the files."""
    try:
        known: dict[str, Any] = json.loads((folder / "microtome.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as err:
        raise UsageError(f"{folder / 'microtome.json'} is damaged: {err}") from err
    return known


def _card(summary: dict[str, Any], config: ImportBagsConfig, bag: "ForeignBag") -> "EncoderCard":
    from models.bags.importing import foreign_card
    from models.encoders.card import EncoderCard

    if "encoder" in summary:
        return EncoderCard.model_validate(summary["encoder"]["card"])
    return foreign_card(config.name, config.format, bag.dim)


def _import_one(
    config: ImportBagsConfig,
    archive: "Archive",
    bag: "ForeignBag",
    slide_id: str,
    card: "EncoderCard",
) -> dict[str, Any]:
    from models.bags.importing import import_bag
    from models.errors import BagError
    from tiling.errors import TilingError

    result = {"slide_id": slide_id, "patches": 0, "missing": 0, "error": ""}
    try:
        about: dict[str, Any] = {
            "imported": config.format,
            "settings": {},
            "forced": [],
            "versions": {},
        }
        missing = import_bag(bag, archive[slide_id], config.name, card, about)
    except (BagError, TilingError) as err:
        return result | {"error": str(err)}
    return result | {"patches": len(bag), "missing": missing}


def _document(
    config: ImportBagsConfig, results: list[dict[str, Any]], failed: dict[str, str]
) -> dict[str, Any]:
    return {
        "archive": config.archive,
        "folder": config.folder,
        "format": config.format,
        "encoder": config.name,
        "slides": {"done": len(results) - len(failed), "failed": len(failed)},
        "patches": sum(one["patches"] for one in results),
        "missing": sum(one["missing"] for one in results),
        "failed": failed,
    }
