"""The place of an archive: may it be written, is there room, how long does one small write take?"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from workflows.checks.check import Check

if TYPE_CHECKING:
    from tiling.storage import Storage

LITTLE_BYTES = 1 << 30
FEW_INODES = 10_000
SLOW_S = 0.1
"""A durable write of one small object; an archive makes about thirteen per slide."""

TRIES = 5


def check_place(out: str) -> Iterator[Check]:
    """Measure room, inodes and latency where an archive will lie."""
    from tiling.storage import open_storage

    local = "://" not in out
    folder = _nearest_folder(Path(out)) if local else None
    if folder is not None:
        yield from _room(folder)
    yield from _latency(open_storage(str(folder or out)))


def _nearest_folder(path: Path) -> Path:
    """Find the folder that exists already, on the way up from where an archive will be."""
    path = path.expanduser().absolute()
    return next(parent for parent in (path, *path.parents) if parent.is_dir())


def _room(folder: Path) -> Iterator[Check]:
    known = os.statvfs(folder)
    free = known.f_bavail * known.f_frsize
    found = f"{free / 1e9:.1f} GB free at {folder}"
    little = free < LITTLE_BYTES
    advice = "free some room, or choose another --out; `microtome plan` says how much is needed"
    yield Check("disk room", "fail" if little else "ok", found, advice if little else "")
    if known.f_files:  # some file systems make inodes as they need them, and say 0
        few = known.f_favail < FEW_INODES
        advice = "free some inodes, or choose another --out" if few else ""
        yield Check("inodes", "fail" if few else "ok", f"{known.f_favail:,} free", advice)


def _latency(storage: "Storage") -> Iterator[Check]:
    key = f".microtome-doctor-{uuid4().hex[:8]}"
    try:
        write, read = _times(storage, key)
    except (OSError, ImportError, ValueError) as err:
        advice = "choose an --out where you may write"
        if isinstance(err, ImportError):
            advice = "pip install 'microtome[s3]' for s3:// places"
        yield Check("storage", "fail", f"cannot write to {storage.root}: {err}", advice)
        return
    found = f"{1000 * write:.1f} ms to write 4 kB durably, {1000 * read:.1f} ms to read it"
    slow = write > SLOW_S
    advice = "slow: an archive writes about 13 small files per slide" if slow else ""
    yield Check("storage latency", "note" if slow else "ok", found, advice)


def _times(storage: "Storage", key: str) -> tuple[float, float]:
    """Median seconds to write and to read a small object; nothing of it stays."""
    writes, reads = [], []
    try:
        for _ in range(TRIES):
            start = time.perf_counter()
            storage.write(key, [bytes(4096)])
            middle = time.perf_counter()
            storage.read(key)
            reads.append(time.perf_counter() - middle)
            writes.append(middle - start)
    finally:
        storage.delete(key)
    return sorted(writes)[TRIES // 2], sorted(reads)[TRIES // 2]
