"""The route of archives: what there is to look into."""

from typing import Any

from fastapi import Request

from service.auth.access import Reader
from service.content.documents import ArchiveOut
from service.content.found import archives_of, content_router
from service.content.summaries import Summaries
from service.problems import problems

router = content_router()

TAGS: list[Any] = ["archives"]


@router.get("/archives", tags=TAGS, responses=problems(401, 403, 422, 429, 502, 503))
def list_archives(request: Request, caller: Reader) -> list[ArchiveOut]:
    """List the archives by name, with what their slides have."""
    summaries: Summaries = request.app.state.content.summaries
    found = archives_of(request).slide_ids()
    return [summaries.of(name, ids) for name, ids in sorted(found.items())]
