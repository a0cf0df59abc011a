"""Bytes of a request to a file, in bounded memory; slow clients hold up nobody."""

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from service.errors import InvalidError, SlowError, StateError, TooLargeError, UnavailableError

BLOCK_BYTES = 1 << 20
"""Written at once; also what an upload costs in memory."""
IDLE_S = 60.0
"""For so long nothing may arrive before the request is given up."""
SPARE_BYTES = 256 << 20
"""Of the disk that uploads leave free, for the database and for what jobs write."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def announced_bytes(request: Request) -> int | None:
    """Give the length that the request claims; None where it does not say."""
    stated = request.headers.get("content-length")
    if stated is None:
        return None
    if not (stated.isascii() and stated.isdigit()):
        raise InvalidError(f"{stated[:40]!r} is no Content-Length")
    return int(stated)


def require_room(folder: Path, size: int) -> None:
    """Refuse what the disk cannot hold.

    Raises:
        UnavailableError: it is too full.
    """
    if shutil.disk_usage(folder).free < size + SPARE_BYTES:
        raise UnavailableError("the disk of this service is too full for this upload")


@contextmanager
def locked(file: Path) -> Iterator[BinaryIO]:
    """Open a file to add to it, alone, also among several processes.

    Raises:
        StateError: another request is writing to it.
    """
    with file.open("ab") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise StateError("another request is writing to this upload") from err
        yield opened


async def receive(request: Request, file: BinaryIO, most_bytes: int) -> int:
    """Add the body to a file, and give how many bytes it had; what arrived stays, whatever happens.

    Raises:
        TooLargeError: the body is longer than allowed; nothing of the last block is written.
        SlowError: nothing arrived for a minute.
        UnavailableError: the disk is full.
    """
    announced = announced_bytes(request)
    if announced is not None and announced > most_bytes:
        raise TooLargeError(f"{announced:,} bytes are announced, {most_bytes:,} are allowed")
    block, written = bytearray(), 0
    try:
        async for piece in _pieces(request):
            if written + len(block) + len(piece) > most_bytes:
                raise TooLargeError(f"more than the {most_bytes:,} bytes that are allowed")
            block += piece
            if len(block) >= BLOCK_BYTES:
                done, block = bytes(block), bytearray()
                written += await run_in_threadpool(write, file, done)
    except (ClientDisconnect, SlowError):
        await run_in_threadpool(write, file, bytes(block), last=True)
        raise
    return written + await run_in_threadpool(write, file, bytes(block), last=True)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), IDLE_S)
        except StopAsyncIteration:
            return
        except TimeoutError as err:
            raise SlowError(f"nothing has arrived for {IDLE_S:g} s") from err


def write(file: BinaryIO, data: bytes, *, last: bool = False) -> int:
    """Write to the end; with `last`, wait until the disk has it.

    Raises:
        UnavailableError: the disk is full, up to what uploads leave free.
    """
    if data:
        require_room(Path(file.name).parent, len(data))
    try:
        file.write(data)
        file.flush()
        if last:
            os.fsync(file.fileno())
    except OSError as err:
        if err.errno in FULL:
            raise UnavailableError("the disk of this service is full") from err
        raise
    return len(data)


def sha256_of(file: Path) -> str:
    """Hash a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
