"""Entity tags and cache headers of answers that a browser may keep, for its user only."""

import hashlib

from fastapi import Request, Response

from service.etags import is_known

KEPT = "private, no-cache"
"""Kept, and asked for again each time: the slide of an ID may become another patient's."""


def tag_of(*parts: object) -> str:
    """Make an entity tag of what an answer depends on."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'


def has_already(request: Request, etag: str) -> bool:
    """Whether the client has this answer already."""
    return is_known(request.headers.get("if-none-match"), etag)


def answer(request: Request, body: bytes, media_type: str, etag: str) -> Response:
    """Give the bytes, or 304 where the client has them already."""
    headers = {"ETag": etag, "Cache-Control": KEPT}
    if has_already(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
