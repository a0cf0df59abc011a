"""Uploads in pieces, which may be interrupted and go on where they stopped."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from service.auth.access import Caller, Submitter
from service.problems import problems
from service.slides.models import Upload, UploadToBegin
from service.slides.receiving import receive
from service.slides.routes.state import Responses, Slides, slides_of
from service.slides.tables import UploadRow
from service.slides.uploads import Announced

router = APIRouter(prefix="/api/v1/uploads", tags=["slides"])

PIECE = "application/offset+octet-stream"
OFFSET: dict[str, Any] = {
    "Upload-Offset": {"schema": {"type": "integer"}, "description": "Bytes that are there."}
}
ADDED: Responses = {204: {"description": "The piece is there.", "headers": OFFSET}}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {PIECE: {"schema": {"type": "string", "format": "binary"}}},
    }
}

UploadId = Annotated[str, Path(max_length=40, examples=["0d6e0b3c5a5c4b0f9d0f6f2f1f0c9a7e"])]
Offset = Annotated[int, Header(ge=0, le=1 << 50, description="Where this piece begins, bytes.")]


def _shown(slides: Slides, row: UploadRow) -> Upload:
    return Upload(
        id=row.id,
        name=row.name,
        offset=slides.uploads.offset_of(row),
        size_bytes=row.size_bytes,
        slide=row.slide,
    )


@router.post(
    "",
    status_code=201,
    responses=problems(401, 403, 409, 413, 422, 429, 503),
    summary="Begin to send a slide in pieces.",
)
def begin_upload(
    request: Request, response: Response, caller: Submitter, body: UploadToBegin
) -> Upload:
    """It is removed when nothing was added for a day."""
    slides = slides_of(request)
    row = slides.uploads.begin(
        Announced(body.name, body.id, body.size_bytes, body.sha256, body.mpp), caller
    )
    request.app.state.audit.note(request, caller, "upload.begin", row.id, row.slide_id)
    response.headers["Location"] = f"/api/v1/uploads/{row.id}"
    return _shown(slides, row)


@router.get(
    "/{upload_id}",
    responses=problems(401, 403, 404, 422, 429, 503),
    summary="Say how much of an upload is there, and which slide it has become.",
)
def get_upload(request: Request, caller: Submitter, upload_id: UploadId) -> Upload:
    """Only who began it, or an administrator, may know."""
    slides = slides_of(request)
    return _shown(slides, slides.uploads.find(upload_id, caller))


@router.patch(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    responses=ADDED | problems(401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
    openapi_extra=BODY,
    summary="Add a piece; the last one makes it a slide, or is refused and removes the upload.",
)
async def add_to_upload(
    request: Request, caller: Submitter, upload_id: UploadId, upload_offset: Offset
) -> Response:
    """What arrived of a piece that was cut off stays: ask for the offset and go on from there."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != PIECE:
        raise HTTPException(415, f"send {PIECE}")
    slides = slides_of(request)
    row = await run_in_threadpool(slides.uploads.find, upload_id, caller)
    offset = await _add(request, slides, row, upload_offset, caller)
    return Response(status_code=204, headers={"Upload-Offset": str(offset)})


async def _add(
    request: Request, slides: Slides, row: UploadRow, offset: int, caller: Caller
) -> int:
    uploads = slides.uploads
    with uploads.adding(row, offset) as file:
        try:
            received = await receive(request, file, row.size_bytes - offset)
        finally:
            await run_in_threadpool(uploads.touch, row)
        offset += received
        if offset == row.size_bytes:
            slide = await run_in_threadpool(uploads.finish, row, caller)
            note = request.app.state.audit.note
            await run_in_threadpool(note, request, caller, "slide.upload", slide.id, row.id)
    return offset


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses=problems(401, 403, 404, 422, 429, 503),
    summary="Give an upload up; what arrived of it is removed.",
)
def delete_upload(request: Request, caller: Submitter, upload_id: UploadId) -> None:
    """The slide that a complete one has become stays."""
    slides = slides_of(request)
    row = slides.uploads.find(upload_id, caller)
    slides.uploads.remove(row)
    request.app.state.audit.note(request, caller, "upload.delete", row.id, row.slide_id)
