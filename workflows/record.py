"""What a run that fills an archive tells and leaves beside it: progress, document, files."""

import logging
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workflows.beside import FAILURES, REPORT, RUN, Beside, failures_csv
from workflows.progress import Update
from workflows.report import write_report

if TYPE_CHECKING:
    from tiling.outcome import Progress, RunSummary, SlideOutcome
    from workflows.config import WorkflowConfig

log = logging.getLogger(__name__)


def update_of(now: "Progress") -> Update:
    """Tell a run's progress in the terms of the display."""
    return Update(
        slides_total=now.slides_total,
        slides_done=now.slides_done + now.slides_skipped + now.slides_failed,
        slides_failed=now.slides_failed,
        patches_total=now.patches_total,
        patches_done=now.patches_done,
        bytes_done=now.bytes_written,
        elapsed_s=now.elapsed_s,
    )


def run_document(
    archive: str, config: "WorkflowConfig", summary: "RunSummary", workers: int | None
) -> dict[str, Any]:
    """Give the record of a run.

    Args:
        archive: path or URL.
        config: what was asked for.
        summary: what came of it.
        workers: processes or threads of this machine; None where others did the work.
    """
    done = [outcome for outcome in summary.outcomes if outcome.state == "done"]
    patches, size = sum(o.patches for o in done), sum(o.bytes for o in done)
    states = Counter(outcome.state for outcome in summary.outcomes)
    seconds = max(summary.seconds, 1e-9)
    return {
        "archive": archive,
        "config": config.model_dump(mode="json"),
        "workers": workers,
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


def write_beside(beside: Beside, document: dict[str, Any], pictures: int) -> dict[str, str | None]:
    """Write what lies beside the archive; patches are committed, so no failure here is fatal.

    Args:
        beside: the place.
        document: of the run.
        pictures: slides that the report shows with pictures.
    """
    files: dict[str, str | None] = {"run": None, "failures": None, "report": None}
    failed = [outcome for outcome in document["outcomes"] if outcome["state"] == "failed"]
    try:
        files["run"] = beside.write_json(RUN, document)
        if failed:
            files["failures"] = beside.write(FAILURES, failures_csv(failed))
        else:
            beside.remove(FAILURES)
        files["report"] = write_report(
            document["archive"], beside.location(REPORT), document, pictures
        )
    except OSError as err:
        log.warning("the slides are in the archive, but not all files beside it: %s", err)
    return files
