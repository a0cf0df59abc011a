"""`microtome tile`: cut slides into an archive, and leave the run's record and report beside it."""

from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from pydantic import Field

from workflows.beside import Beside
from workflows.cluster import cores, starting_client
from workflows.cutting import CutConfig, cut_options, find_sources
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback
from workflows.record import run_document, update_of, write_beside
from workflows.report import PICTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiling.request import SlideSource

SMALL_BYTES = 32_000_000
ONE_FILE = (".svs", ".tif", ".tiff", ".ndpi", ".scn", ".bif", ".png", ".jpg", ".jpeg")
"""Formats whose slides are one file; of others its size says little."""


class TileConfig(CutConfig):
    """Cut slides into an archive of patches.

    Slides that the archive holds already are skipped; one that fails is recorded, and the others go
    on. Beside the archive lie then its report, the record of the run, and a list of failures.
    """

    out: str
    """The archive: a folder, made where it does not exist, or a URL such as s3://bucket/a.zarr."""
    workers: int | None = Field(default=None, ge=1, le=4096)
    """Processes that cut; by default one per core."""
    scheduler: str | None = None
    """Address of a running Dask scheduler to use instead, such as tcp://host:8786."""
    overwrite: bool = False
    """Replace slides that the archive holds with other options or from other files."""
    dry_run: bool = False
    """Only plan: print what would be cut, and write nothing."""
    dashboard: bool = False
    """Serve Dask's pages about the running tasks on http://127.0.0.1:8787."""
    pictures: int = Field(default=PICTURES, ge=0)
    """Slides that the report shows with pictures; the others are in its table."""


def run(config: TileConfig, progress: ProgressCallback) -> Outcome:
    """Cut, then write the record, the failures and the report.

    Raises:
        ManifestError: the list of slides is wrong.
        ConflictError: the archive holds other versions of these slides.
        StoreError: the archive cannot be written.
        UsageError: an option makes no sense.
    """
    if config.dry_run:
        from workflows.plan import plan_cut

        return plan_cut(config, config.out, config.workers, progress, overwrite=config.overwrite)
    beside = Beside(config.out)
    sources = find_sources(config)
    small = _is_small(sources)
    with starting_client(
        config.workers, config.scheduler, dashboard=config.dashboard, small=small
    ) as client:
        from tiling.store import Archive
        from tiling.tiler import run as cut

        archive, connected = Archive.create(config.out), client()
        Thread(target=_import_what_the_end_needs, daemon=True).start()
        summary = cut(
            sources,
            cut_options(config),
            archive,
            connected,
            overwrite=config.overwrite,
            progress=lambda now: progress(update_of(now)),
        )
    workers = None if config.scheduler else config.workers or cores()
    document = run_document(config.out, config, summary, workers)
    document["files"] = write_beside(beside, document, config.pictures)
    return Outcome(document, SOME_FAILED if document["slides"]["failed"] else ALL_GOOD)


def _is_small(sources: "Sequence[SlideSource]") -> bool:
    """Whether there is one slide, in one small file; a cluster takes a second to start."""
    if len(sources) != 1:
        return False
    path = Path(sources[0].location)
    return path.is_file() and path.suffix in ONE_FILE and path.stat().st_size <= SMALL_BYTES


def _import_what_the_end_needs() -> None:
    """Load what the index and the report need, while this process waits for its workers."""
    for module in ("pyarrow.parquet", "scipy.ndimage", "jinja2", "workflows.reporting.page"):
        import_module(module)
    import pyarrow

    pyarrow.array([0])  # looks for pandas, which takes half a second where it is installed
