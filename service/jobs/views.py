"""Jobs and workflows as clients see them."""

import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, StringConstraints
from sqlalchemy import Row

from service.auth.access import Caller
from service.jobs.log import STATE
from service.jobs.offers import is_identifying
from service.jobs.tables import ENDED, Job, JobLine, State

HIGHEST = 100
WITHHELD = "this may name patients: reading it needs the scope phi"
EXAMPLE = {
    "workflow": "tile",
    "config": {"slides": ["CMU-1-Small-Region"], "out": "demo.zarr", "mpp": 0.5},
    "priority": 0,
}


class Submission(BaseModel, extra="forbid", use_attribute_docstrings=True):
    """A job to be done."""

    workflow: Annotated[str, StringConstraints(max_length=60)] = Field(examples=["tile"])
    """Name of a workflow, as `GET /api/v1/workflows` lists them."""
    config: dict[str, Any] = Field(default={}, examples=[EXAMPLE["config"]])
    """Its options, as the workflow's schema says; places in the client's names."""
    priority: StrictInt = Field(default=0, ge=-HIGHEST, le=HIGHEST)
    """Jobs of a higher priority are begun first; of the same, the oldest."""


class Progress(BaseModel, use_attribute_docstrings=True):
    """How far a job is."""

    share: float = Field(examples=[0.42])
    """Of the work that is done, 0 to 1."""
    noun: str = Field(examples=["slides"])
    """What `total` counts."""
    total: int
    done: int
    """Includes what was skipped and what failed."""
    failed: int
    patches_total: int
    """Of what is planned so far; 0 where none are counted."""
    patches_done: int
    patches_per_s: float
    mb_per_s: float
    elapsed_s: float
    left_s: float | None
    """Seconds left; null before anything is known."""


class JobView(BaseModel, use_attribute_docstrings=True):
    """A job."""

    id: str = Field(examples=["5f0c7b1ad2e94c0f8a6f7d1b3a2c9e10"])
    workflow: str = Field(examples=["tile"])
    config: dict[str, Any] = Field(examples=[EXAMPLE["config"]])
    """As it was submitted."""
    priority: int
    state: State
    """A job ends once: as succeeded, failed or cancelled."""
    submitted_by: str
    """Name of the token."""
    created: datetime.datetime
    started: datetime.datetime | None
    """When it was begun for the first time."""
    finished: datetime.datetime | None
    next_attempt: datetime.datetime | None
    """When it is begun again at the earliest, where it was lost and waits."""
    attempts: int
    """How often it was begun."""
    cancelling: bool
    """Whether it was asked to stop and has not yet."""
    progress: Progress | None
    error: str | None = Field(examples=[None])
    """Why it failed, in one sentence."""
    exit_code: int | None = Field(examples=[0])
    """As of the command line: 0 all good, 2 wrong usage, 3 some slides or checks failed."""
    has_outcome: bool
    """Whether there is an outcome that the caller may read."""


class Line(BaseModel, use_attribute_docstrings=True):
    """A line of a job's log."""

    number: int
    """From 1 on, without gaps."""
    at: datetime.datetime
    level: str = Field(examples=["state"])
    """`state` where the service tells of the job itself; else debug, info, warning or error."""
    text: str = Field(examples=["begun"])


class Lines(BaseModel, use_attribute_docstrings=True):
    """A part of a job's log."""

    items: list[Line]
    after: int
    """Number of the last line; what to ask for next."""


class OutcomeView(BaseModel, use_attribute_docstrings=True):
    """What came of a job."""

    job: str
    state: State
    exit_code: int | None
    document: dict[str, Any] = Field(examples=[{"archive": "demo.zarr", "patches": 93}])
    """What the command prints with `--json`, in the client's names of places."""


class FileView(BaseModel, use_attribute_docstrings=True):
    """A file that a job wrote."""

    path: str = Field(examples=["reports/demo.html"])
    size_bytes: int
    modified: datetime.datetime
    media_type: str = Field(examples=["text/html"])


class WorkflowView(BaseModel, use_attribute_docstrings=True):
    """A workflow that jobs may run."""

    name: str = Field(examples=["tile"])
    sentence: str = Field(examples=["Cut slides into an archive of patches."])
    places: dict[str, str] = Field(examples=[{"slides": "slides", "out": "new-archive"}])
    """Fields that name a place, and the kind of place."""
    example: dict[str, Any]
    """A config."""
    config_schema: dict[str, Any]
    """JSON schema of the config; a field that names a place has a `place`, its kind."""


def may_hear(caller: Caller, workflow: str) -> bool:
    """Whether a caller may read what a workflow says; messages of some quote labels of patients."""
    return "phi" in caller.scopes or not is_identifying(workflow)


def job_view(job: Job | Row[Any], caller: Caller) -> JobView:
    """Show a caller a job, or a row of the table of jobs."""
    hears = may_hear(caller, job.workflow)
    waits_again = job.state == "queued" and job.attempt > 0
    return JobView(
        id=job.id,
        workflow=job.workflow,
        config=job.config,
        priority=-job.rank,
        state=job.state,
        submitted_by=job.submitted_by,
        created=in_utc(job.created),
        started=None if job.started is None else in_utc(job.started),
        finished=None if job.finished is None else in_utc(job.finished),
        next_attempt=in_utc(job.not_before) if waits_again else None,
        attempts=job.attempt,
        cancelling=job.cancel and job.state == "running",
        progress=None if job.progress is None else Progress(**job.progress),
        error=job.error if hears or job.error is None else WITHHELD,
        exit_code=job.exit_code,
        has_outcome=job.has_outcome and hears,
    )


def line_view(line: JobLine, *, hears: bool) -> Line:
    """Show a line; of one that quotes what a workflow said, only that there is one."""
    state, colon, why = line.text.partition(": ")
    quotes = line.level != STATE or bool(why) or ";" in state
    text = line.text
    if quotes and not hears:
        text = f"{state}{colon}{WITHHELD}" if line.level == STATE and state in ENDED else WITHHELD
    return Line(number=line.number, at=in_utc(line.at), level=line.level, text=text)


def in_utc(time: datetime.datetime) -> datetime.datetime:
    """Say of a time of the database that it is UTC."""
    return time.replace(tzinfo=datetime.UTC)
