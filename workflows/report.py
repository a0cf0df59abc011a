"""`microtome report`: one HTML page about an archive and the run that made it."""

from typing import Annotated, Any

from pydantic import Field

from workflows.beside import REPORT, RUN, Beside, write_file
from workflows.config import POSITIONAL, WorkflowConfig
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.version import package_version

PICTURES = 100
"""Slides with pictures by default: each adds about 60 kB to the page."""


class ReportConfig(WorkflowConfig):
    """Write one HTML page about an archive: pictures, counts, resolution, failures."""

    archive: Annotated[str, POSITIONAL]
    """Path or URL of an archive."""
    out: str | None = None
    """The page; by default it lies beside the archive, as <archive>.report.html."""
    pictures: int = Field(default=PICTURES, ge=0)
    """Slides that are shown with pictures; the others are in the table."""


def run(config: ReportConfig, progress: ProgressCallback) -> Outcome:
    """Write the page.

    Raises:
        StoreError: there is no archive, or the page cannot be written.
    """
    del progress
    beside = Beside(config.archive)
    target = config.out or beside.location(REPORT)
    record = beside.read_json(RUN)
    return Outcome({"report": write_report(config.archive, target, record, config.pictures)})


def write_report(archive: str, target: str, record: dict[str, Any] | None, pictures: int) -> str:
    """Write the page about `archive` to `target`; gives its path or URL.

    Args:
        archive: path or URL.
        target: path or URL of the page.
        record: document of the last run, where there is one.
        pictures: how many slides get pictures.
    """
    from tiling.store import Archive
    from workflows.reporting.facts import read_facts
    from workflows.reporting.page import render_page

    opened = Archive.open(archive)
    slides = read_facts(opened, opened.slide_ids(), pictures)
    page = render_page(archive, slides, record, package_version("microtome") or "")
    return write_file(target, page.encode())
