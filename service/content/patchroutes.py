"""Routes of patches: the grid of a slide, and single patches."""

from typing import Annotated, Any, Literal

from fastapi import Path, Request, Response

from service.auth.access import Reader
from service.content.asking import Responses, binary
from service.content.documents import PatchGrid
from service.content.embeddingroutes import ARROW
from service.content.formats import table_blocks
from service.content.found import FAILS, ArchiveName, SlideId, content_router, find_slide
from service.content.patches import OpenPatches, describe_grid, grid_table
from service.content.sending import of_bytes, send, stream, tag, unchanged

router = content_router()

TAGS: list[Any] = ["patches"]
TABLE: Responses = {200: {"description": "OK", "content": {ARROW: {}}}}
NOT_MODIFIED: Responses = {304: {"description": "The caller has it already."}}


@router.get(
    "/slides/{slide_id}/patches",
    tags=TAGS,
    response_model=PatchGrid,
    responses=TABLE | NOT_MODIFIED | FAILS,
)
def get_patches(
    request: Request,
    caller: Reader,
    slide_id: SlideId,
    archive: ArchiveName = None,
    format: Literal["summary", "json", "arrow"] = "summary",
) -> Response:
    """Describe the patch grid of a slide; as `json` or `arrow` with the position of every patch."""
    held = find_slide(request, slide_id, archive)
    etag = tag("patches", held.archive, held.store.attributes.get("checksum"), format)
    same = unchanged(request, etag)
    if same is not None:
        return same
    if format == "arrow":
        return stream(table_blocks(grid_table(held)), etag, ARROW, f"{slide_id}.patches.arrow")
    data = describe_grid(held, columns=format == "json").model_dump_json()
    return send(request, of_bytes(data.encode(), etag, "application/json"))


@router.get(
    "/slides/{slide_id}/patches/{index}.jpeg",
    tags=TAGS,
    response_class=Response,
    responses=binary("image/jpeg", "image/png"),
)
def get_patch(
    request: Request,
    caller: Reader,
    slide_id: SlideId,
    index: Annotated[int, Path(ge=0, le=1 << 31, examples=[0])],
    archive: ArchiveName = None,
) -> Response:
    """Show one patch as it is stored; one that is no JPEG is shown as PNG."""
    held = find_slide(request, slide_id, archive)
    etag = tag("patch", held.archive, held.store.attributes.get("checksum"), index)
    same = unchanged(request, etag)
    if same is not None:
        return same
    patches: OpenPatches = request.app.state.content.patches
    data, media_type = patches.picture(held, index)
    return send(request, of_bytes(data, etag, media_type))
