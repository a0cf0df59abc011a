"""Deep Zoom: the description of a slide's pyramid, and its tiles: most of all requests."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from service.auth.access import Reader
from service.problems import problems
from service.slides.caching import answer, tag_of
from service.slides.rendering import Address
from service.slides.routes.state import DZI, JPEG, picture, slides_of

SlideId = Annotated[str, Path(max_length=120, examples=["CMU-1-Small-Region"])]
Number = Annotated[int, Path(ge=0, le=1 << 40, examples=[0])]


router = APIRouter(prefix="/api/v1/slides", tags=["slides"])


@router.head("/{slide_id}_files/{level}/{column}_{row}.jpeg", include_in_schema=False)
@router.get(
    "/{slide_id}_files/{level}/{column}_{row}.jpeg",
    response_class=Response,
    responses=picture(JPEG) | problems(401, 403, 404, 413, 422, 429, 502, 503),
    summary="Give one Deep Zoom tile; where the file has the same tile as JPEG, its own bytes.",
)
async def get_slide_tile(
    request: Request,
    caller: Reader,
    slide_id: SlideId,
    level: Number,
    column: Number,
    row: Number,
) -> Response:
    """The tile is made unless it is ready, once for all who ask at the same time."""
    found = await request.app.state.tiles.tile(slide_id, Address(level, column, row))
    return answer(request, found.body, JPEG, found.etag)


@router.head("/{slide_id}.dzi", include_in_schema=False)
@router.get(
    "/{slide_id}.dzi",
    response_class=Response,
    responses=picture(DZI) | problems(401, 403, 404, 413, 422, 429, 502, 503),
    summary="Describe the Deep Zoom pyramid of a slide.",
)
async def get_slide_dzi(
    request: Request,
    caller: Reader,
    slide_id: SlideId,
) -> Response:
    """Tiles have the size of the file's own, without overlap, so that those can be copied."""
    shown = await slides_of(request).tiles.shown_soon(slide_id)
    text = shown.pyramid.zoom.dzi("jpeg").encode()
    return answer(request, text, DZI, tag_of(shown.key, "dzi"))
