"""Routes of jobs: submit, list, look at, cancel; their log and their outcome."""

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response

from service.auth.access import Reader, Submitter
from service.auth.audit import make_note
from service.jobs.service import Jobs, Order
from service.jobs.tables import State
from service.jobs.views import (
    EXAMPLE,
    JobView,
    Lines,
    OutcomeView,
    Submission,
    job_view,
    line_view,
    may_hear,
)
from service.pages import LARGEST, Cursor, Limit, Page, number_of, to_cursor
from service.problems import problems

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

MOST_LINES = 1000
"""Largest number of a job or a line."""

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The same key with the same body gives the same job, however often it is sent.",
        examples=["2f1c0d9a"],
    ),
]
After = Annotated[int, Query(ge=0, le=LARGEST, description="Number of the last line known.")]
LineLimit = Annotated[int, Query(ge=1, le=MOST_LINES, description="Most lines of an answer.")]
OfState = Annotated[State | None, Query(description="Only jobs in this state.")]
OfWorkflow = Annotated[str | None, Query(max_length=60, description="Only jobs of this workflow.")]


def jobs_of(request: Request) -> Jobs:
    """Give the jobs of the application."""
    jobs: Jobs = request.app.state.jobs
    return jobs


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    summary="Submit a job.",
    responses=problems(401, 403, 409, 413, 422, 429, 503)
    | {
        202: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Of the job."}}}
    },
)
def submit_job(
    request: Request,
    caller: Submitter,
    submission: Annotated[Submission, Body(examples=[EXAMPLE])],
    key: Key = None,
) -> Response:
    """Submit a job; `Location` says where to look at it."""
    order = Order(submission.workflow, submission.config, submission.priority, key)
    job = jobs_of(request).submit(caller, order, make_note(request, caller, "job.submit"))
    place = {"Location": f"{router.prefix}/{job.id}"}
    return Response(job_view(job, caller).model_dump_json(), 202, place, "application/json")


@router.get(
    "",
    summary="List jobs, the newest first.",
    responses=problems(401, 403, 422, 429, 503),
)
def list_jobs(
    request: Request,
    caller: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: OfState = None,
    workflow: OfWorkflow = None,
) -> Page[JobView]:
    """List the caller's jobs, or all of them for an administrator."""
    before = None if cursor is None else number_of(cursor)
    found = jobs_of(request).listing(
        caller, state=state, workflow=workflow, before=before, limit=limit + 1
    )
    following = to_cursor(found[limit - 1].number) if len(found) > limit else None
    return Page(items=[job_view(job, caller) for job in found[:limit]], next_cursor=following)


@router.get("/{job_id}", summary="Look at a job.", responses=problems(401, 403, 404, 422, 429, 503))
def read_job(request: Request, caller: Reader, job_id: str) -> JobView:
    """Give a job; another token's is not found."""
    return job_view(jobs_of(request).find(caller, job_id), caller)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job.",
    responses=problems(401, 403, 404, 409, 422, 429, 503),
)
def cancel_job(request: Request, caller: Submitter, job_id: str) -> JobView:
    """Cancel a job: at once if it waits; one that runs stops in order, within half a minute."""
    job = jobs_of(request).cancel(caller, job_id)
    request.app.state.audit.note(request, caller, "job.cancel", job.id, job.workflow)
    return job_view(job, caller)


@router.get(
    "/{job_id}/log",
    summary="Read the log of a job.",
    responses=problems(401, 403, 404, 422, 429, 503),
)
def read_job_log(
    request: Request, caller: Reader, job_id: str, after: After = 0, limit: LineLimit = MOST_LINES
) -> Lines:
    """Give the lines after the one of that number."""
    jobs = jobs_of(request)
    job = jobs.find(caller, job_id)
    lines, hears = jobs.lines(job, after, limit), may_hear(caller, job.workflow)
    last = lines[-1].number if lines else after
    return Lines(items=[line_view(line, hears=hears) for line in lines], after=last)


@router.get(
    "/{job_id}/outcome",
    summary="Read what came of a job.",
    responses=problems(401, 403, 404, 409, 422, 429, 503),
)
def read_job_outcome(request: Request, caller: Reader, job_id: str) -> OutcomeView:
    """Give the outcome; also of a job of which a part failed."""
    jobs = jobs_of(request)
    job = jobs.find(caller, job_id)
    document = jobs.outcome(caller, job)
    return OutcomeView(
        job=job.id,
        state=job.state,
        exit_code=job.exit_code,
        document=document,
    )
