"""What both imports share: options, running the jobs, the record, how patches are stored."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflows.beside import Beside
from workflows.cluster import cores
from workflows.config import WorkflowConfig
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback
from workflows.record import run_document, update_of, write_beside
from workflows.report import PICTURES

if TYPE_CHECKING:
    from tiling.importing.group import Job
    from tiling.store import Archive


class ImportConfig(WorkflowConfig):
    """Where imported slides go, and how they are written."""

    out: str
    """The archive: a folder, made where it does not exist, or a URL such as s3://bucket/a.zarr."""
    workers: int | None = Field(default=None, ge=1, le=256)
    """Threads that read and decode; by default one per core."""
    overwrite: bool = False
    """Replace slides that the archive holds with other options or from other files."""
    pictures: int = Field(default=PICTURES, ge=0)
    """Slides that the report shows with pictures; the others are in its table."""


def import_into(
    config: ImportConfig,
    jobs: "Sequence[Job]",
    progress: ProgressCallback,
    *,
    at_once: int | None = None,
) -> Outcome:
    """Import, then write the record, the failures and the report.

    Args:
        config: what was asked for.
        jobs: one per slide.
        progress: told how far the run is.
        at_once: slides that are in memory at a time.

    Raises:
        ConflictError: the archive holds other versions of these slides.
        StoreError: the archive cannot be written.
    """
    from tiling.importing.run import AT_ONCE, run_import
    from tiling.store import Archive

    beside = Beside(config.out)
    archive, workers = Archive.create(config.out), config.workers or cores()
    summary = run_import(
        jobs,
        archive,
        workers=workers,
        at_once=at_once or AT_ONCE,
        overwrite=config.overwrite,
        progress=lambda now: progress(update_of(now)),
    )
    document = run_document(config.out, config, summary, workers)
    document["encodings"] = _encodings(archive, {job.slide_id for job in jobs})
    document["files"] = write_beside(beside, document, config.pictures)
    return Outcome(document, SOME_FAILED if document["slides"]["failed"] else ALL_GOOD)


def _encodings(archive: "Archive", slide_ids: set[str]) -> list[dict[str, Any]]:
    """Count how the slides of this run are stored."""
    from tiling.index import read_index

    rows = [row for row in read_index(archive) if row["slide_id"] in slide_ids]
    counts = Counter(row["encoding"] for row in rows)
    return [{"label": label, "slides": count} for label, count in counts.most_common()]
