"""`microtome ls`: the slides of an archive."""

from typing import Annotated, Any

from workflows.config import POSITIONAL, WorkflowConfig
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback


class ListConfig(WorkflowConfig):
    """List the slides of an archive: patches, sizes, resolution, encoding."""

    archive: Annotated[str, POSITIONAL]
    """Path or URL of an archive."""


def run(config: ListConfig, progress: ProgressCallback) -> Outcome:
    """Read the archive's index.

    Raises:
        StoreError: there is no archive.
    """
    del progress
    from tiling.index import read_index, slide_row
    from tiling.store import Archive

    archive = Archive.open(config.archive)
    indexed = {row["slide_id"]: row for row in read_index(archive)}
    # a run that is under way, or was killed, has committed slides that are not in the index yet
    rows = [indexed.get(name) or slide_row(archive[name]) for name in archive.slide_ids()]
    return Outcome({"archive": config.archive, "slides": rows, "total": _total(rows)})


def _total(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "slides": len(rows),
        "patches": sum(row["n_patches"] for row in rows),
        "unreadable": sum(row["n_unreadable"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
    }
