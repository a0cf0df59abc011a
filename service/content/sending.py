"""Answers that browsers keep, resume and ask for again: ETag, Last-Modified, Range, 304."""

import email.utils
import hashlib
import itertools
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.etags import is_known

BLOCK_BYTES = 1 << 20
"""What is read of a file at a time."""

CACHED = "private, max-age=60"
"""Maps and embeddings are seldom replaced; after a minute a browser asks whether they were."""

ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)

Blocks = Iterator[bytes | memoryview]


@dataclass(frozen=True)
class Sendable:
    """Bytes that can be read from anywhere.

    Attributes:
        size: of all, in bytes.
        read: gives those from one offset to another.
        etag: changes with them; no quotes.
        media_type: what they are.
        name: under which they are saved; None where a browser is to show them.
        modified: when they were made, seconds since 1970; None where nobody knows.
        has_parts: whether parts of them can be asked for.
    """

    size: int
    read: Callable[[int, int], Blocks]
    etag: str
    media_type: str
    name: str | None = None
    modified: float | None = None
    has_parts: bool = True


def tag(*parts: Any) -> str:
    """Make an ETag of whatever the answer depends on, JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def of_bytes(data: bytes, etag: str, media_type: str, name: str | None = None) -> Sendable:
    """Send what is in memory, all of it."""
    return Sendable(
        len(data), lambda a, b: iter((data[a:b],)), etag, media_type, name, has_parts=False
    )


def of_file(path: Path, etag: str, media_type: str, name: str | None = None) -> Sendable:
    """Send a file; it may be deleted while that goes on."""
    found = path.stat()

    def read(start: int, stop: int) -> Blocks:
        with path.open("rb") as file:
            file.seek(start)
            while start < stop and (block := file.read(min(BLOCK_BYTES, stop - start))):
                start += len(block)
                yield block

    return Sendable(found.st_size, read, etag, media_type, name, found.st_mtime)


def unchanged(request: Request, etag: str, modified: float | None = None) -> Response | None:
    """Answer 304 where the caller has got it already; None where it has not."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": CACHED}
    known = request.headers.get("if-none-match")
    if known is not None:
        same = is_known(known, f'"{etag}"')
        return Response(status_code=304, headers=headers) if same else None
    since = _seconds(request.headers.get("if-modified-since"))
    if since is None or modified is None or int(modified) > since:
        return None
    return Response(status_code=304, headers=headers)


def send(request: Request, what: Sendable) -> Response:
    """Answer with all of it, with the part that is asked for, or with 304.

    Several parts at once are not given; all of it is then.

    Raises:
        HTTPException: 416, the part lies beyond its end.
    """
    same = unchanged(request, what.etag, what.modified)
    if same is not None:
        return same
    headers = _headers(what)
    part = _part(request, what) if what.has_parts else None
    if part is None:
        return _streamed(what.read(0, what.size), what.size, 200, headers, what.media_type)
    start, stop = part
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{what.size}"
    return _streamed(what.read(start, stop), stop - start, 206, headers, what.media_type)


def stream(blocks: Iterable[bytes | memoryview], etag: str, media_type: str, name: str) -> Response:
    """Answer with bytes that are made while they are sent; what fails at once is an error."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": CACHED} | _saved_as(name)
    return _Stream(iter(blocks), 200, headers, media_type)


def begun(blocks: Blocks) -> Blocks:
    """Make the first block now, while an error can still be told."""
    return itertools.chain(tuple(itertools.islice(blocks, 1)), blocks)


class _Stream(StreamingResponse):
    """Sends blocks; what they hold open is closed when the caller goes away, too."""

    def __init__(
        self, blocks: Blocks, status: int, headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(begun(blocks), status, headers, media_type)
        self._close = getattr(blocks, "close", lambda: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def _streamed(
    blocks: Blocks, size: int, status: int, headers: dict[str, str], media_type: str
) -> Response:
    headers["Content-Length"] = str(size)
    return _Stream(blocks, status, headers, media_type)


def _headers(what: Sendable) -> dict[str, str]:
    headers = {"ETag": f'"{what.etag}"', "Cache-Control": CACHED}
    if what.has_parts:
        headers["Accept-Ranges"] = "bytes"
    if what.modified is not None:
        headers["Last-Modified"] = email.utils.formatdate(what.modified, usegmt=True)
    return headers | (_saved_as(what.name) if what.name else {})


def _saved_as(name: str) -> dict[str, str]:
    return {"Content-Disposition": disposition("attachment", name)}


def disposition(kind: str, name: str) -> str:
    """Say whether a file is shown or saved, and under which name (RFC 6266)."""
    plain = name.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_")
    further = "" if plain == name else f"; filename*=UTF-8''{urllib.parse.quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{further}'


def _part(request: Request, what: Sendable) -> tuple[int, int] | None:
    """Read which bytes are asked for; None for all, also where the words make no sense."""
    asked = ONE_RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or asked[0] == "bytes=-" or not _is_same(request, what):
        return None
    first, last = asked[1][:19], asked[2][:19]
    start = int(first) if first else max(0, what.size - int(last))
    stop = min(int(last) + 1, what.size) if first and last else what.size
    if start >= what.size:
        headers = {"Content-Range": f"bytes */{what.size}"}
        raise HTTPException(416, f"there are {what.size} bytes", headers)
    return (start, stop) if start < stop else None


def _is_same(request: Request, what: Sendable) -> bool:
    """Whether the caller's part is of these very bytes (If-Range)."""
    known = request.headers.get("if-range")
    if known is None or known == f'"{what.etag}"':
        return True
    since = _seconds(known)
    return since is not None and what.modified is not None and int(what.modified) == int(since)


def _seconds(date: str | None) -> float | None:
    try:
        return None if date is None else email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
