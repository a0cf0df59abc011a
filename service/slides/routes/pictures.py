"""Pictures of a slide: thumbnail, regions, and the images that its file holds beside."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.auth.access import Identified, Reader
from service.errors import NotFoundError, TooLargeError
from service.problems import problems
from service.reading import reading
from service.slides.caching import answer, has_already, tag_of
from service.slides.limits import ASSOCIATED_PX, associated_area
from service.slides.models import Associated, RegionQuery
from service.slides.pixels import pixels_of, translated
from service.slides.pool import stamp_of
from service.slides.regions import encode, read_asked, shrunk
from service.slides.rendering import encode_jpeg
from service.slides.routes.state import JPEG, PNG, Slides, picture, slides_of
from service.slides.routes.tiles import SlideId
from wsi.color import Pixels

router = APIRouter(prefix="/api/v1/slides", tags=["slides"])

LARGEST_THUMBNAIL_PX = 2048

ImageName = Annotated[str, Path(max_length=100, examples=["macro"])]
MaxPx = Annotated[int, Query(ge=16, le=LARGEST_THUMBNAIL_PX, description="Longest side.")]


@router.head("/{slide_id}/thumbnail", include_in_schema=False)
@router.get(
    "/{slide_id}/thumbnail",
    response_class=Response,
    responses=picture(JPEG) | problems(401, 403, 404, 413, 422, 429, 502, 503),
    summary="Give a picture of the whole slide, from its file or else from an archive.",
)
async def get_slide_thumbnail(
    request: Request, caller: Reader, slide_id: SlideId, max_px: MaxPx = 512
) -> Response:
    """It is never enlarged."""
    slides = slides_of(request)
    entry = await run_in_threadpool(slides.catalogue.get, slide_id)
    if entry.source is None:
        return await run_in_threadpool(_stored_thumbnail, request, slides, slide_id, max_px)
    shown = await slides.tiles.shown_soon(slide_id)
    size = shown.pyramid.zoom.level_size(shown.pyramid.overview)
    if max_px <= max(size.width, size.height):
        overview = await slides.tiles.overview_soon(slide_id, shown)
        body = await run_in_threadpool(lambda: encode_jpeg(shrunk(overview, max_px)))
    else:
        body = await run_in_threadpool(_large_thumbnail, slides, slide_id, max_px)
    return answer(request, body, JPEG, tag_of(shown.key, max_px))


def _stored_thumbnail(request: Request, slides: Slides, slide_id: str, max_px: int) -> Response:
    found = slides.catalogue.look(slide_id)
    found.require_one()
    held = found.held
    if not held:
        raise NotFoundError(f"the file of slide {slide_id!r} is gone")
    with reading(f"the thumbnail of {slide_id} in {held[0].archive}"):
        body = encode_jpeg(shrunk(held[0].store.thumbnail, max_px))
    return answer(request, body, JPEG, tag_of(body))


def _large_thumbnail(slides: Slides, slide_id: str, max_px: int) -> bytes:
    source = pixels_of(slides.catalogue, slide_id)
    with translated(slide_id), slides.pool.borrow(source) as slide:
        pixels = slide.thumbnail(max_px)
    return encode_jpeg(pixels)


@router.get(
    "/{slide_id}/region",
    response_class=Response,
    responses=picture(JPEG, PNG) | problems(401, 403, 404, 413, 422, 429, 502, 503),
    summary="Give a rectangle of a slide, by level or at the microns per pixel asked for.",
)
def get_slide_region(
    request: Request, caller: Reader, slide_id: SlideId, query: Annotated[RegionQuery, Query()]
) -> Response:
    """`x` and `y` are level-0 pixels, `width` and `height` pixels of the answer; white outside."""
    slides, asked, kind = slides_of(request), query.asked, query.format
    source = pixels_of(slides.catalogue, slide_id)
    with translated(slide_id):
        etag = tag_of(source, stamp_of(source), asked, kind)
        body = b""
        if not has_already(request, etag):
            with slides.turns.turn(asked), slides.pool.borrow(source) as slide:
                body = encode(read_asked(slide, asked), kind)
    return answer(request, body, PNG if kind == "png" else JPEG, etag)


@router.get(
    "/{slide_id}/associated",
    responses=problems(401, 403, 404, 413, 422, 429, 502, 503),
    summary="List the images that a slide's file holds beside its pixels, such as its label.",
)
def list_associated_images(request: Request, caller: Identified, slide_id: SlideId) -> Associated:
    """They may name the patient, so that the scope `phi` is needed."""
    slides = slides_of(request)
    source = pixels_of(slides.catalogue, slide_id)
    request.app.state.audit.note(request, caller, "slide.associated", slide_id)
    with translated(slide_id), slides.pool.borrow(source) as slide:
        return Associated(names=sorted(slide.associated))


@router.get(
    "/{slide_id}/associated/{name}",
    response_class=Response,
    responses=picture(PNG) | problems(401, 403, 404, 413, 422, 429, 502, 503),
    summary="Give an image that a slide's file holds beside its pixels, such as its label.",
)
def get_associated_image(
    request: Request, caller: Identified, slide_id: SlideId, name: ImageName
) -> Response:
    """It may name the patient, so that the scope `phi` is needed."""
    slides = slides_of(request)
    request.app.state.audit.note(request, caller, "slide.associated", slide_id, name)
    body = encode(_associated(slides, slide_id, name), "png")
    return answer(request, body, PNG, tag_of(body))


def _associated(slides: Slides, slide_id: str, name: str) -> Pixels:
    source = pixels_of(slides.catalogue, slide_id)
    with translated(slide_id), slides.pool.borrow(source) as slide:
        area = associated_area(slide, name)
        found = None
        if name in slide.associated and (area is None or area <= ASSOCIATED_PX):
            found = slide.associated[name]
    if found is None and area is not None and area > ASSOCIATED_PX:
        raise TooLargeError(f"the image {name!r} claims {area:,} px")
    if found is None:
        raise NotFoundError(f"slide {slide_id!r} has no image {name!r}")
    return found
