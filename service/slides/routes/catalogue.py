"""Slides: list, details, registration by path or by upload in one request, deletion."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from service.auth.access import Administrator, Caller, Reader, Submitter
from service.errors import InvalidError, TooLargeError
from service.pages import Cursor, Limit, Page, from_cursor, to_cursor
from service.problems import problems
from service.slides.caching import has_already
from service.slides.describing import (
    describe,
    details_of_archive,
    details_of_slide,
    tag_of_details,
)
from service.slides.models import (
    SHA256,
    SlideDetails,
    SlideItem,
    SlideToRegister,
    schema_of,
)
from service.slides.pixels import translated
from service.slides.receiving import announced_bytes, receive
from service.slides.registering import Wish
from service.slides.routes.state import KNOWN, Responses, Slides, slides_of
from service.slides.routes.tiles import SlideId
from service.slides.tables import SlideRow
from service.slides.uploads import Announced

router = APIRouter(prefix="/api/v1/slides", tags=["slides"])

BYTES, JSON = "application/octet-stream", "application/json"
MOST_JSON_BYTES = 1 << 20
"""Of a registration, whatever the settings allow elsewhere."""
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": schema_of(SlideToRegister)},
            BYTES: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
CREATED: Responses = {
    201: {"description": "The slide.", "headers": {"Location": {"schema": {"type": "string"}}}}
}

Search = Annotated[str | None, Query(max_length=200, description="Part of an ID or a patient.")]
ArchiveName = Annotated[str | None, Query(max_length=200, description="Only its slides.")]
FileName = Annotated[str | None, Query(max_length=255, description="Of the bytes, with extension.")]
GivenId = Annotated[str | None, Query(min_length=1, max_length=120, description="Of the slide.")]
GivenMpp = Annotated[float | None, Query(gt=0, le=1000, allow_inf_nan=False)]
GivenHash = Annotated[str | None, Query(pattern=SHA256, description="Of the bytes.")]


@router.get(
    "",
    responses=problems(401, 403, 404, 422, 429, 503),
    summary="List slides by ID: those that were registered, and those of all archives.",
)
def list_slides(
    request: Request,
    caller: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    q: Search = None,
    archive: ArchiveName = None,
) -> Page[SlideItem]:
    """Names of patients are searched and shown only with the scope `phi`."""
    slides = slides_of(request)
    last = None if cursor is None else from_cursor(cursor, str)[0]
    ids = [one for one in slides.catalogue.ids(archive) if last is None or one > last]
    if q:
        patients = slides.patients.matching(q) if "phi" in caller.scopes else set()
        ids = [one for one in ids if q.casefold() in one.casefold() or one in patients]
    if "phi" in caller.scopes:
        request.app.state.audit.note(request, caller, "slide.list", "", q or "")
    items = [
        describe(slides.catalogue, one, caller) for one in slides.catalogue.entries(ids[:limit])
    ]
    more = to_cursor(ids[limit - 1]) if len(ids) > limit else None
    return Page(items=items, next_cursor=more)


@router.get(
    "/{slide_id}",
    responses=KNOWN | problems(401, 403, 404, 413, 422, 429, 502, 503),
    summary="Say all that is known of a slide: levels, resolution, native tiles, archives.",
)
def get_slide(
    request: Request, response: Response, caller: Reader, slide_id: SlideId
) -> SlideDetails:
    """What may name the patient is there only with the scope `phi`."""
    slides = slides_of(request)
    details = _details(slides, slide_id, caller)
    if "phi" in caller.scopes:
        request.app.state.audit.note(request, caller, "slide.details", slide_id)
    etag = tag_of_details(details)
    if has_already(request, etag):
        raise HTTPException(304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, max-age=0"
    return details


def _details(slides: Slides, slide_id: str, caller: Caller) -> SlideDetails:
    entry = slides.catalogue.get(slide_id)
    item = describe(slides.catalogue, entry, caller)
    if entry.source is None:
        return details_of_archive(item, slides.catalogue.look(slide_id))
    pyramid = slides.tiles.shown(slide_id).pyramid
    with translated(slide_id), slides.pool.borrow(entry.source) as slide:
        return details_of_slide(item, slide, pyramid, caller)


@router.post(
    "",
    status_code=201,
    responses=CREATED | problems(401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
    openapi_extra=BODY,
    summary="Take in a slide: by its path under the folder of slides, or by its bytes.",
)
async def add_slide(
    request: Request,
    response: Response,
    caller: Submitter,
    name: FileName = None,
    id: GivenId = None,
    mpp: GivenMpp = None,
    sha256: GivenHash = None,
) -> SlideItem:
    """With JSON the path is registered; with bytes, `name` is needed and they become a file."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    slides = slides_of(request)
    if kind == JSON:
        wish = await _wish(request, caller)
        row = await run_in_threadpool(slides.registrar.register, wish)
    elif kind == BYTES:
        if name is None:
            raise InvalidError("give the name of the file: ?name=slide.svs")
        row = await _take_in(request, slides, caller, Announced(name, id, 1, sha256, mpp))
    else:
        raise HTTPException(415, f"send {JSON} or {BYTES}")
    await run_in_threadpool(_note, request, caller, row)
    response.headers["Location"] = f"/api/v1/slides/{row.id}"
    entry = await run_in_threadpool(slides.catalogue.get, row.id)
    return await run_in_threadpool(describe, slides.catalogue, entry, caller)


async def _wish(request: Request, caller: Caller) -> Wish:
    try:
        asked = SlideToRegister.model_validate_json(await _short_body(request))
    except ValidationError as err:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in err.errors(include_url=False)]
        ) from err
    return Wish(asked.path, asked.id, asked.mpp, caller.name)


async def _short_body(request: Request) -> bytes:
    """Read a body of JSON, and no more of it than makes sense."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_JSON_BYTES:
            raise TooLargeError(f"a registration may have {MOST_JSON_BYTES:,} bytes")
    return bytes(body)


async def _take_in(
    request: Request, slides: Slides, caller: Caller, announced: Announced
) -> SlideRow:
    """Receive a slide in one request; of one that does not arrive nothing is left."""
    size = announced_bytes(request)
    stated = Announced(
        announced.name, announced.slide_id, size or 1, announced.sha256, announced.mpp
    )
    uploads = slides.uploads
    row = await run_in_threadpool(uploads.begin, stated, caller)
    try:
        with uploads.adding(row, 0) as file:
            received = await receive(request, file, uploads.most_bytes)
            if not received:
                raise InvalidError("the body is empty")
            return await run_in_threadpool(uploads.finish, row, caller)
    finally:
        await run_in_threadpool(uploads.remove, row)


def _note(request: Request, caller: Caller, row: SlideRow) -> None:
    action = "slide.upload" if row.is_upload else "slide.register"
    request.app.state.audit.note(request, caller, action, row.id, row.path)


@router.delete(
    "/{slide_id}",
    status_code=204,
    responses=problems(401, 403, 404, 409, 422, 429, 503),
    summary="Take a slide out of the catalogue; of an uploaded one the file is deleted too.",
)
def delete_slide(request: Request, caller: Administrator, slide_id: SlideId) -> None:
    """Archives keep what was cut from it."""
    slides = slides_of(request)
    source = slides.catalogue.get(slide_id).source
    slides.registrar.delete(slide_id)
    slides.tiles.forget(slide_id)
    if source is not None:
        slides.pool.forget(source.location)
    request.app.state.audit.note(request, caller, "slide.delete", slide_id)
