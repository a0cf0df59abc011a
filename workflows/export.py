"""`microtome export`: embeddings of an archive in the format of another tool."""

import time
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig, nearest
from workflows.errors import UsageError
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.pool import spread
from workflows.progress import ProgressCallback, Update

if TYPE_CHECKING:
    from models.bags.cohort import Selection
    from models.bags.folder import ExportFolder
    from models.bags.record import ExportSpec
    from tiling.store import Archive

FormatName = Literal[
    "clam",
    "trident",
    "stamp",
    "torchmil",
    "torchmil-h5",
    "spatialdata",
    "spatialdata-zip",
    "slideflow",
    "slide2vec",
    "parquet",
]
"""Names of the table of formats; a test compares them."""
EXTRAS = {"spatialdata": "interop", "spatialdata-zip": "interop"}
"""What a format needs beyond the extra `models`."""
VERSIONS = ("microtome", "numpy", "h5py", "torch", "zarr", "pyarrow")


class ExportConfig(WorkflowConfig):
    """Write an encoder's embeddings as the files that another tool reads, one bag per slide."""

    archive: Annotated[str, POSITIONAL]
    """Path or URL of an archive with embeddings."""
    encoder: str
    """ID of the encoder whose embeddings are written, as `microtome embed` stored them."""
    format: FormatName
    """The tool that reads the files."""
    out: str
    """Folder to write; one folder holds one format and one encoder."""
    slide: str | None = None
    """Export only the slide of this ID."""
    dtype: Literal["float16", "float32"] | None = None
    """Type of the numbers; by default what the tool expects."""
    keep_unreadable: bool = False
    """Also write the rows of patches that could not be read (white)."""
    prefix_ids: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=40)
    """Text before every slide and patient ID, for tools that take "0012" for the number 12."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that write slides; one is often as fast as the disk."""


def run(config: ExportConfig, progress: ProgressCallback) -> Outcome:
    """Write every slide that is not written yet, then what belongs to all of them.

    Raises:
        BagError: the encoder, the format or the IDs do not fit, or the folder holds another export.
        StoreError: there is no archive.
        UsageError: there is no slide of the ID asked for.
    """
    with needs("models"):
        from models.bags.cohort import select_bags
        from models.bags.folder import ExportFolder
    from tiling.store import Archive

    started = time.monotonic()
    archive = Archive.open(config.archive)
    chosen = select_bags(
        archive,
        config.encoder,
        _names(archive, config.slide),
        keep_unreadable=config.keep_unreadable,
        prefix=config.prefix_ids,
    )
    folder = ExportFolder(Path(config.out), _spec(config, chosen))
    folder.begin()
    results = _write(config, folder, chosen, progress)
    failed = {one["slide_id"]: one["error"] for one in results if one["error"]}
    failed |= dict.fromkeys(chosen.missing, f"no embeddings of {config.encoder!r}")
    summary = _finish(config, folder, chosen, results, failed)
    document = _document(config, folder, results, failed)
    document |= {"summary": str(summary), "seconds": round(time.monotonic() - started, 3)}
    return Outcome(document, SOME_FAILED if failed else ALL_GOOD)


def _names(archive: "Archive", only: str | None) -> list[str]:
    names = archive.slide_ids()
    if not names:
        raise UsageError(f"{archive.location} holds no slide")
    if only is None:
        return names
    if only not in names:
        raise UsageError(f"{archive.location} holds no slide {only!r}; {nearest(only, names)}")
    return [only]


def _spec(config: ExportConfig, chosen: "Selection") -> "ExportSpec":
    from models.bags.cohort import require_csv_ids
    from models.bags.record import ExportSpec
    from models.bags.table import choose_dtype, open_format

    with needs(EXTRAS.get(config.format, "models")):
        module = open_format(config.format)
    if module.CSV_IDS:
        require_csv_ids(chosen.bags)
    return ExportSpec(
        format=config.format,
        encoder_id=config.encoder,
        identity=chosen.card.identity,
        dtype=choose_dtype(config.format, module, chosen.bags[0].dtype, config.dtype),
        keep_unreadable=config.keep_unreadable,
        prefix=config.prefix_ids,
        version=metadata.version("microtome"),
    )


def _write(
    config: ExportConfig,
    folder: "ExportFolder",
    chosen: "Selection",
    progress: ProgressCallback,
) -> list[dict[str, Any]]:
    """Write what is not there; gives one result per slide."""
    records = folder.records()
    done = [bag for bag in chosen.bags if folder.is_done(bag, records)]
    results = [_result(bag.slide_id, len(bag), "skipped") for bag in done]
    todo = [bag.slide_id for bag in chosen.bags if bag not in done]
    if not todo:
        return results
    folder.reopen()
    started, patches = time.monotonic(), sum(result["patches"] for result in results)
    write = partial(export_slide, config, folder.spec)
    for result in spread(write, todo, min(config.workers, len(todo))):
        results.append(result)
        patches += result["patches"]
        bad = sum(1 for one in results if one["error"])
        elapsed = time.monotonic() - started
        total = len(chosen.bags)
        progress(Update(total, len(results), bad, chosen.patches, patches, elapsed_s=elapsed))
    return sorted(results, key=lambda one: str(one["slide_id"]))


def export_slide(config: ExportConfig, spec: "ExportSpec", slide_id: str) -> dict[str, Any]:
    """Write one slide; what goes wrong with it is part of the answer."""
    from models.bags.bag import Bag
    from models.bags.folder import ExportFolder
    from models.errors import BagError
    from tiling.errors import TilingError
    from tiling.store import Archive

    try:
        bag = Bag(
            Archive.open(config.archive)[slide_id],
            spec.encoder_id,
            keep_unreadable=spec.keep_unreadable,
            prefix=spec.prefix,
        )
        with needs(EXTRAS.get(spec.format, "models")):
            record = ExportFolder(Path(config.out), spec).write(bag)
    except (BagError, TilingError) as err:
        return _result(slide_id, 0, "failed", str(err))
    return _result(slide_id, record.facts.count, "done")


def _result(slide_id: str, patches: int, state: str, error: str = "") -> dict[str, Any]:
    return {"slide_id": slide_id, "patches": patches, "state": state, "error": error}


def _finish(
    config: ExportConfig,
    folder: "ExportFolder",
    chosen: "Selection",
    results: list[dict[str, Any]],
    failed: dict[str, str],
) -> Path:
    """Write the summary, unless it is there and nothing changed."""
    about = {
        "archive": config.archive,
        "failed": failed,
        "versions": {name: metadata.version(name) for name in VERSIONS},
    }
    if folder.is_finished and all(result["state"] == "skipped" for result in results):
        return folder.summary
    with needs(EXTRAS.get(config.format, "models")):
        return folder.finish(chosen.card, about)


def _document(
    config: ExportConfig,
    folder: "ExportFolder",
    results: list[dict[str, Any]],
    failed: dict[str, str],
) -> dict[str, Any]:
    known = folder.read_summary()
    states = [result["state"] for result in results]
    return {
        "archive": config.archive,
        "format": config.format,
        "encoder": config.encoder,
        "out": config.out,
        "slides": {state: states.count(state) for state in ("done", "skipped", "failed")},
        "patches": sum(result["patches"] for result in results),
        "files": len(known["files"]),
        "bytes": sum(entry["bytes"] for entry in known["files"].values()),
        "empty": known["empty"],
        "unreadable": known["unreadable"],
        "fewer_than_8": known["fewer_than_8"],
        "warnings": known["warnings"],
        "failed": failed,
    }
