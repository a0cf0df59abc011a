"""Limits of what a client sends: address, headers, body; and of the time it takes to send it."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.wire.answers import refuse

MOST_TARGET_BYTES = 8192
MOST_HEADER_BYTES = 32_768
MOST_HEADERS = 100
BODY_S = 60.0
"""After this time a body must have come."""


class Sizes:
    """Refuses what is too long or takes too long; uploads have limits of their own.

    Args:
        app: what comes next.
        most_bytes: of a body.
        body_s: seconds in which a body must have come.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, body_s: float = BODY_S) -> None:
        self.app = app
        self._most_bytes = most_bytes
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_TARGET_BYTES:
            return await refuse(scope, receive, send, 414, "the address is too long")
        if _are_too_long(scope["headers"]):
            return await refuse(scope, receive, send, 431, "the headers are too long")
        headers = Headers(scope=scope)
        if is_upload(scope["method"], scope["path"], headers.get("content-type", "")):
            return await self.app(scope, receive, send)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most_bytes:
            return await refuse(scope, receive, send, 413, _too_large(self._most_bytes))
        if length != "0" or "transfer-encoding" in headers:
            receive = _Body(receive, self._most_bytes, self._body_s).receive
        return await self.app(scope, receive, send)


def is_upload(method: str, path: str, content_type: str) -> bool:
    """Whether the body is a slide, or a stretch of one."""
    if method == "PATCH":
        return path.startswith("/api/v1/uploads/")
    slide = method == "POST" and path == "/api/v1/slides"
    return slide and not content_type.strip().lower().startswith("application/json")


class _Body:
    """Counts what comes of a body, and watches the clock."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._most = receive, most
        self._until = asyncio.get_running_loop().time() + seconds
        self._seen = 0
        self._more = True

    async def receive(self) -> Message:
        """Give the next message."""
        if not self._more:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as err:
            raise HTTPException(408, "the body took too long to come") from err
        self._seen += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        if self._seen > self._most:
            raise HTTPException(413, _too_large(self._most))
        return message


def _are_too_long(headers: list[tuple[bytes, bytes]]) -> bool:
    whole = sum(len(name) + len(value) for name, value in headers)
    return len(headers) > MOST_HEADERS or whole > MOST_HEADER_BYTES


def _too_large(most: int) -> str:
    return f"a body may have {most:,} bytes"
