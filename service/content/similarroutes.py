"""The route of similar patches."""

from typing import Annotated, Any

from fastapi import Query, Request

from service.auth.access import Reader
from service.content import nearest
from service.content.documents import SimilarOut
from service.content.found import FAILS, ArchiveName, SlideId, content_router, find_embeddings

router = content_router()

TAGS: list[Any] = ["embeddings"]


@router.get("/slides/{slide_id}/similar", tags=TAGS, responses=FAILS)
def find_similar(
    request: Request,
    caller: Reader,
    slide_id: SlideId,
    encoder: Annotated[
        str, Query(max_length=128, description="Name of the embeddings.", examples=["uni2-h"])
    ],
    patch: Annotated[int, Query(ge=0, le=1 << 31, description="Index of the patch.")],
    archive: ArchiveName = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Most patches to find.")] = 24,
) -> SimilarOut:
    """Find the patches of the whole archive that are most like one, by cosine of embeddings."""
    held = find_embeddings(request, slide_id, archive, encoder)
    neighbours: nearest.Neighbours = request.app.state.content.neighbours
    return neighbours.find(nearest.Query(held, encoder, patch, limit))
