"""`microtome tile`: cut slides into an archive, and leave the run's record and report beside it."""

import logging
from collections import Counter
from dataclasses import asdict
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflows.beside import FAILURES, REPORT, RUN, Beside, failures_csv
from workflows.cluster import cores, starting_client
from workflows.cutting import CutConfig, cut_options, find_sources
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback, Update
from workflows.report import PICTURES, write_report

if TYPE_CHECKING:
    from tiling.outcome import Progress, RunSummary, SlideOutcome

log = logging.getLogger(__name__)


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
    with starting_client(config.workers, config.scheduler, dashboard=config.dashboard) as client:
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
            progress=lambda now: progress(_update(now)),
        )
    document = _document(config, summary)
    document["files"] = _write_beside(beside, document, config)
    return Outcome(document, SOME_FAILED if document["slides"]["failed"] else ALL_GOOD)


def _import_what_the_end_needs() -> None:
    """Load what the index and the report need, while this process waits for its workers."""
    for module in ("pyarrow.parquet", "scipy.ndimage", "jinja2", "workflows.reporting.page"):
        import_module(module)


def _update(now: "Progress") -> Update:
    return Update(
        slides_total=now.slides_total,
        slides_done=now.slides_done + now.slides_skipped + now.slides_failed,
        slides_failed=now.slides_failed,
        patches_total=now.patches_total,
        patches_done=now.patches_done,
        bytes_done=now.bytes_written,
        elapsed_s=now.elapsed_s,
    )


def _document(config: TileConfig, summary: "RunSummary") -> dict[str, Any]:
    done = [outcome for outcome in summary.outcomes if outcome.state == "done"]
    patches, size = sum(o.patches for o in done), sum(o.bytes for o in done)
    states = Counter(outcome.state for outcome in summary.outcomes)
    seconds = max(summary.seconds, 1e-9)
    return {
        "archive": config.out,
        "config": config.model_dump(mode="json"),
        "workers": None if config.scheduler else config.workers or cores(),
        "slides": {name: states[name] for name in ("done", "skipped", "failed")},
        "patches": patches,
        "bytes": size,
        "seconds": round(summary.seconds, 3),
        "patches_per_s": round(patches / seconds, 1),
        "mb_per_s": round(size / seconds / 1e6, 3),
        "outcomes": [_outcome(outcome) for outcome in summary.outcomes],
    }


def _outcome(outcome: "SlideOutcome") -> dict[str, Any]:
    known = asdict(outcome)
    known["path"] = known.pop("location")
    return known


def _write_beside(
    beside: Beside, document: dict[str, Any], config: TileConfig
) -> dict[str, str | None]:
    """Write what lies beside the archive; patches are committed, so no failure here is fatal."""
    files: dict[str, str | None] = {"run": None, "failures": None, "report": None}
    failed = [outcome for outcome in document["outcomes"] if outcome["state"] == "failed"]
    try:
        files["run"] = beside.write_json(RUN, document)
        if failed:
            files["failures"] = beside.write(FAILURES, failures_csv(failed))
        else:
            beside.remove(FAILURES)
        files["report"] = write_report(
            config.out, beside.location(REPORT), document, config.pictures
        )
    except OSError as err:
        log.warning("the slides are in the archive, but not all files beside it: %s", err)
    return files
