"""The short way of tiles: before the routes, which cost more than a tile that is ready.

All else goes on to the routes: slides that nobody has looked at just now, callers who may not
read, odd addresses, damage.
"""

import re
from typing import Final

from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.access import Caller
from service.problems import STATUS
from service.slides.caching import answer
from service.slides.rendering import Address
from service.slides.tiles import TileServer

PATH: Final = "/api/v1/slides/{slide_id}_files/{level}/{column}_{row}.jpeg"
ADDRESS = re.compile(r"/api/v1/slides/([^/]+)_files/(\d{1,4})/(\d{1,9})_(\d{1,9})\.jpeg", re.ASCII)
METHODS = ("GET", "HEAD")
JPEG = "image/jpeg"
EXPECTED: Final = tuple(STATUS)
"""No handler of errors is above this."""


class TileRoute:
    """What the metrics read of a route."""

    path_format = path = PATH


class TileGate:
    """Answers with tiles.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        response = None
        if scope["type"] == "http" and scope["method"] in METHODS:
            found = ADDRESS.fullmatch(scope["path"])
            response = None if found is None else await _tile(scope, found)
        if response is None:
            return await self.app(scope, receive, send)
        scope["route"] = TileRoute
        return await response(scope, receive, send)


async def _tile(scope: Scope, found: "re.Match[str]") -> Response | None:
    slide_id, level, column, row = found.groups()
    tiles: TileServer = scope["app"].state.tiles
    at = Address(int(level), int(column), int(row))
    if not tiles.is_shown(slide_id, at):
        return None
    request = Request(scope)
    try:
        if not await _may_read(request):
            return None
        ready = tiles.recall(slide_id, at) or await tiles.tile(slide_id, at)
    except EXPECTED:
        return None  # the route meets it too, and says what is wrong
    return answer(request, ready.body, JPEG, ready.etag)


async def _may_read(request: Request) -> bool:
    """Find out who asks, in the way in which routes do."""
    scheme, _, word = request.headers.get("authorization", "").partition(" ")
    is_token = scheme.lower() == "bearer" and bool(word)
    given = HTTPAuthorizationCredentials(scheme=scheme, credentials=word) if is_token else None
    caller: Caller = await request.app.state.tokens.identify(request, given)
    return "read" in caller.scopes
