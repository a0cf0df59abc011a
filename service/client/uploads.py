"""Sending a slide in pieces; one that is interrupted goes on where it stopped."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from service.client.errors import ProblemError
from service.client.transport import Transport

Sent = Callable[[int, int], None]
"""Hears how many bytes are there, and of how many."""

PIECE_BYTES = 8 << 20
TRIES = 8
"""In a row without any new byte, before the upload is given up."""
AGAIN = (408, 409, 429, 503)
"""Another moment, or another offset, may be better."""


def send_file(
    transport: Transport, file: Path, wish: dict[str, Any], progress: Sent | None = None
) -> str:
    """Send a slide file, and give the ID of the slide that it has become.

    Args:
        transport: of the service.
        file: the slide, a single file.
        wish: `id`, `mpp` where they are to be other than what the service finds.
        progress: hears how far it is.

    Raises:
        ProblemError: the service refuses it.
    """
    size = file.stat().st_size
    begun = {"name": file.name, "size_bytes": size, "sha256": _digest(file)} | wish
    upload = transport.json("POST", "uploads", json=begun)
    path, offset, tries = f"uploads/{upload['id']}", int(upload["offset"]), 0
    while offset < size:
        before = offset
        try:
            offset = _send_piece(transport, path, file, offset)
        except (ProblemError, httpx.TransportError) as err:
            tries += 1
            final = isinstance(err, ProblemError) and err.status not in AGAIN
            if final or tries >= TRIES:
                raise
            time.sleep(min(0.25 * 2**tries, 10.0))
            offset = int(transport.json("GET", path)["offset"])
        tries = 0 if offset > before else tries
        if progress is not None:
            progress(offset, size)
    return str(transport.json("GET", path)["slide"])


def _send_piece(transport: Transport, path: str, file: Path, offset: int) -> int:
    with file.open("rb") as opened:
        opened.seek(offset)
        piece = opened.read(PIECE_BYTES)
    kind = "application/offset+octet-stream"
    headers = {"Upload-Offset": str(offset), "Content-Type": kind}
    answer = transport.ask("PATCH", path, content=piece, headers=headers)
    return int(answer.headers["upload-offset"])


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
