"""Events of a job as they come (server-sent events), which a client that lost them takes up again.

Events are `state` (the job), `progress` and `log` (a line). The `id` of each is the number of the
last line of the log; a browser sends it back as `Last-Event-ID`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from service.auth.access import Caller, Reader
from service.jobs.routes import MOST_LINES, jobs_of
from service.jobs.service import Jobs
from service.jobs.tables import ENDED, Job
from service.jobs.views import Progress, job_view, line_view, may_hear
from service.problems import problems

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

POLL_S = 0.5
QUIET_S = 15.0
"""After so long without an event a comment is sent, so that proxies keep the connection."""
LONGEST_S = 300.0
"""The stream then ends and the client comes again, with a token that still must be valid."""
RETRY_MS = 2000

EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["state", "progress", "log"]},
        "data": {"type": "string", "description": "JSON: the job, its progress, or a line."},
    },
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events; the stream ends after the job has.",
        "content": {
            "text/event-stream": {
                "schema": EVENT,
                "example": 'id: 1\nevent: log\ndata: {"number":1,"text":"begun"}\n\n',
            }
        },
    },
    204: {"description": "The job has ended, and the client knows all of it: come no more."},
}

Last = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=20, description="`id` of the last event known."),
]


@router.get(
    "/{job_id}/events",
    summary="Follow a job.",
    response_class=StreamingResponse,
    response_model=None,
    responses=STREAM | problems(401, 403, 404, 422, 429, 503),
)
def follow_job(request: Request, caller: Reader, job_id: str, last: Last = None) -> Response:
    """Stream the events of a job until it has ended."""
    jobs = jobs_of(request)
    job = jobs.find(caller, job_id)
    after = int(last) if last and last.isascii() and last.isdigit() else 0
    if job.state in ENDED and last and after >= job.lines:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    following = _Following(jobs, caller, job_id, min(after, job.lines))
    events = following.stream(lambda: bool(request.app.state.stopping))
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


class _Following:
    """What one client knows of a job."""

    def __init__(self, jobs: Jobs, caller: Caller, job_id: str, after: int) -> None:
        self._jobs, self._caller, self._id, self._after = jobs, caller, job_id, after
        self._state = self._progress = ""

    async def stream(self, stopping: Callable[[], bool]) -> AsyncIterator[str]:
        """Give events as text, until the job has ended, the service stops, or it lasted long."""
        yield f"retry: {RETRY_MS}\n\n"
        begun = said = time.monotonic()
        while time.monotonic() - begun < LONGEST_S and not stopping():
            ended, events = await run_in_threadpool(self._look)
            for event in events:
                said = time.monotonic()
                yield event
            if ended:
                return
            if time.monotonic() - said > QUIET_S:
                said = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(POLL_S)

    def _look(self) -> tuple[bool, list[str]]:
        job = self._jobs.find(self._caller, self._id)
        events = list(self._news(job))
        return job.state in ENDED and self._after >= job.lines, events

    def _news(self, job: Job) -> Iterator[str]:
        if job.lines > self._after:
            hears = may_hear(self._caller, job.workflow)
            for line in self._jobs.lines(job, self._after, MOST_LINES):
                self._after = line.number
                yield self._event("log", line_view(line, hears=hears))
        if job.progress is not None:
            told = Progress(**job.progress)
            if told.model_dump_json() != self._progress:
                self._progress = told.model_dump_json()
                yield self._event("progress", told)
        view = job_view(job, self._caller)
        state = view.model_copy(update={"progress": None}).model_dump_json()
        if state != self._state and self._after >= job.lines:
            self._state = state
            yield self._event("state", view)

    def _event(self, kind: str, told: BaseModel) -> str:
        return f"id: {self._after}\nevent: {kind}\ndata: {told.model_dump_json()}\n\n"
