"""Routes of the files that a job wrote: exports, reports, predictions."""

import datetime
import mimetypes
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from service.auth.access import Caller, Reader
from service.content.sending import Sendable, disposition, of_bytes, of_file, send, tag
from service.errors import NotFoundError
from service.jobs.offers import is_identifying
from service.jobs.outputs import Written
from service.jobs.routes import jobs_of
from service.jobs.service import Jobs
from service.jobs.tables import Job
from service.jobs.views import FileView
from service.problems import problems

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

TEXTS = frozenset({"text/html", "text/csv", "application/json"})
"""What may name places of the server, and is put into the client's names."""
SHOWN = frozenset({"text/html", "application/json", "image/png", "image/jpeg", "image/svg+xml"})
"""What a browser shows; all else it saves."""
MOST_TEXT_BYTES = 100_000_000
SANDBOX = "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; "
SANDBOX += "script-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'"
"""A page that a job wrote may show itself, and reach nothing of this service."""

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The part of it that `Range` asks for."},
    304: {"description": "It is what the client has."},
}


@router.get(
    "/{job_id}/files",
    summary="List the files of a job.",
    responses=problems(401, 403, 404, 422, 429, 503),
)
def list_job_files(request: Request, caller: Reader, job_id: str) -> list[FileView]:
    """List what a job wrote: exports, reports, predictions, and what lies beside its archive."""
    jobs = jobs_of(request)
    job = jobs.find(caller, job_id)
    return [_view(one) for one in jobs.written(job)]


@router.get(
    "/{job_id}/files/{path:path}",
    summary="Download a file of a job.",
    response_class=Response,
    response_model=None,
    responses=FILE | problems(401, 403, 404, 416, 422, 429, 503),
)
def read_job_file(
    request: Request,
    caller: Reader,
    job_id: str,
    path: Annotated[str, Path(max_length=1000, examples=["reports/demo.html"])],
) -> Response:
    """Give a file, in the path that the list has; files that may name patients need `phi`."""
    jobs = jobs_of(request)
    job = jobs.find(caller, job_id)
    _require_phi(caller, job)
    found = next((one for one in jobs.written(job) if one.name == path), None)
    if found is None:
        raise NotFoundError(f"the job has written no file {path!r}")
    request.app.state.audit.note(request, caller, "job.download", job.id, path)
    return _answer(request, jobs, job, found)


def _require_phi(caller: Caller, job: Job) -> None:
    if is_identifying(job.workflow):
        caller.require("phi")


def _answer(request: Request, jobs: Jobs, job: Job, found: Written) -> Response:
    media_type = _media_type(found.name)
    kind = "inline" if media_type in SHOWN else "attachment"
    headers = {
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(kind, found.path.name),
    }
    if media_type in TEXTS and found.size_bytes <= MOST_TEXT_BYTES:
        sent = send(request, _text(jobs, job, found, media_type))
    else:
        etag = tag(found.name, found.size_bytes, found.path.stat().st_mtime_ns)
        sent = send(request, of_file(found.path, etag, media_type))
    sent.headers.update(headers)
    return sent


def _text(jobs: Jobs, job: Job, found: Written, media_type: str) -> Sendable:
    """Give a text in the client's names of places."""
    text = found.path.read_text(encoding="utf-8", errors="replace")
    text = jobs.told_json(job, text) if media_type == "application/json" else jobs.told(job, text)
    return of_bytes(text.encode(), tag(text), media_type)


def _view(one: Written) -> FileView:
    return FileView(
        path=one.name,
        size_bytes=one.size_bytes,
        modified=datetime.datetime.fromtimestamp(one.modified, datetime.UTC),
        media_type=_media_type(one.name),
    )


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
