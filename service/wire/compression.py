"""JSON goes compressed to who takes it so; pictures, downloads and events are sent as they are."""

import gzip
import zlib
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("application/json", "application/problem+json", "application/geo+json")
LEVEL = 5
LEAST_BYTES = 1024
"""Shorter answers gain nothing."""
THREAD_BYTES = 100_000
"""Longer ones are compressed beside the loop that answers everybody."""
GZIP_WINDOW = 31
"""Of zlib: the largest window, with gzip's header."""


class JsonGzip:
    """Compresses JSON.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        wanted = scope["type"] == "http" and scope["method"] != "HEAD"
        if wanted and takes_gzip(Headers(scope=scope).get("accept-encoding", "")):
            send = _Answer(send).send
        await self.app(scope, receive, send)


def takes_gzip(accepted: str) -> bool:
    """Whether the header Accept-Encoding has gzip in it, and not with a weight of 0."""
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


class _Answer:
    """Holds the start back until the first part of the body tells how long it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._pressing: Any = None

    async def send(self, message: Message) -> None:
        """Send a message, compressed or not."""
        if message["type"] == "http.response.start" and _is_json(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            await self._first(self._start, message)
        elif message["type"] == "http.response.body" and self._pressing is not None:
            await self._send({**message, "body": await self._press(message)})
        else:
            await self._send(message)

    async def _first(self, start: Message, message: Message) -> None:
        self._start = None
        headers = MutableHeaders(scope=start)
        headers.add_vary_header("Accept-Encoding")
        more, body = message.get("more_body", False), message.get("body", b"")
        if more or len(body) >= LEAST_BYTES:
            _mark(headers)
            if more:
                self._pressing = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_WINDOW)
                body = await self._press(message)
            else:
                body = await _whole(body)
                headers["Content-Length"] = str(len(body))
        await self._send(start)
        await self._send({**message, "body": body})

    async def _press(self, message: Message) -> bytes:
        body = message.get("body", b"")
        small = len(body) < THREAD_BYTES
        pressing = self._pressing
        pressed: bytes = (
            pressing.compress(body) if small else await run_in_threadpool(pressing.compress, body)
        )
        end: bytes = b"" if message.get("more_body", False) else pressing.flush()
        return pressed + end


async def _whole(body: bytes) -> bytes:
    if len(body) < THREAD_BYTES:
        return gzip.compress(body, LEVEL, mtime=0)
    return await run_in_threadpool(gzip.compress, body, LEVEL, mtime=0)


def _mark(headers: MutableHeaders) -> None:
    headers["Content-Encoding"] = "gzip"
    if "content-length" in headers:
        del headers["Content-Length"]
    tag = headers.get("etag", "")
    if tag.startswith('"'):  # it names the plain bytes; these are only worth as much
        headers["ETag"] = f"W/{tag}"


def _is_json(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").partition(";")[0].strip()
    plain = "content-encoding" not in headers and start["status"] not in (204, 206, 304)
    return plain and kind in KINDS
