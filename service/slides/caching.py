"""Entity tags and cache headers of answers that a browser may keep, for its user only."""

import hashlib

from fastapi import Request, Response

KEPT = "private, no-cache"
"""Kept, and asked for again each time: the slide of an ID may become another patient's."""


def tag_of(*parts: object) -> str:
    """Make an entity tag of what an answer depends on."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has this answer already."""
    asked = request.headers.get("if-none-match")
    if asked is None:
        return False
    known = (one.strip().removeprefix("W/") for one in asked.split(","))
    return asked.strip() == "*" or etag in known


def answer(request: Request, body: bytes, media_type: str, etag: str) -> Response:
    """Give the bytes, or 304 where the client has them already."""
    headers = {"ETag": etag, "Cache-Control": KEPT}
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
