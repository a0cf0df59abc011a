"""One task: one shard of one slide. Runs on a Dask worker, which keeps a few slides open."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import JPEG, Encoding, encode_patch
from tiling.errors import StoreError
from tiling.pixels import Footprint, cut_patches, white
from tiling.storage import Storage
from tiling.store import SlideWriter
from tiling.tiles import OK, RETRIED, UNREADABLE, shown_tile
from wsi.errors import RegionError
from wsi.native import NativeTiles
from wsi.slide import Slide

OPEN_SLIDES = 4
"""Slides that a worker keeps open; each holds a decoder's cache of some 32 MB."""

_open: OrderedDict[str, Slide] = OrderedDict()


@dataclass(frozen=True)
class ShardTask:
    """What a worker needs to cut one shard.

    Attributes:
        slide: opened by the worker that gets it.
        footprint: what a patch covers.
        origins: top-left corners `(n, 2)` as x, y in pixels of the level.
        encoding: how patches are stored.
        storage: where the archive lies; `prefix` is where the slide is prepared.
        number: which shard; `capacity` is its room in patches.
    """

    slide: Slide
    footprint: Footprint
    origins: NDArray[np.float64]
    encoding: Encoding
    storage: Storage
    prefix: str
    number: int
    capacity: int


@dataclass(frozen=True)
class ShardResult:
    """What came of a shard: status per patch `(n,)`, bytes and checksums of what was written."""

    number: int
    status: NDArray[np.uint8]
    checksums: dict[str, list[int]]
    size_bytes: int
    error: str


def cut_shard(task: ShardTask) -> ShardResult:
    """Cut, encode and write one shard.

    Raises:
        SlideError: the slide cannot be opened any more.
        StoreError: the shard cannot be written.
    """
    slide = reuse(task.slide)
    chunks, status, error = _copy(slide, task) if task.encoding.copies else _encode(slide, task)
    writer = SlideWriter(task.storage, task.prefix)
    size = writer.put_shard(task.number, chunks, task.capacity)
    return ShardResult(task.number, status, writer.checksums, size, error)


def reuse(slide: Slide) -> Slide:
    """Give this process's open handle of the slide, keeping the last few.

    A file that was replaced is another slide, though its name is the same.
    """
    key = f"{slide.__reduce__()} {_version(slide.location)}"
    kept = _open.pop(key, slide)
    _open[key] = kept
    while len(_open) > OPEN_SLIDES:
        _open.popitem(last=False)[1].close()
    return kept


def _version(location: str) -> tuple[int, ...]:
    """Tell a file from one that takes its place; nothing of what is not a local file."""
    try:
        status = Path(location).stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


Chunks = tuple[list[bytes], NDArray[np.uint8], str]


def _encode(slide: Slide, task: ShardTask) -> Chunks:
    count = len(task.origins)
    chunks = [b""] * count
    status = np.zeros(count, np.uint8)
    error = ""
    for cut in cut_patches(slide, task.footprint, task.origins):
        chunks[cut.position] = encode_patch(cut.pixels, task.encoding)
        status[cut.position] = cut.status
        error = error or cut.error
    return chunks, status, error


def _copy(slide: Slide, task: ShardTask) -> Chunks:
    native = slide.native_tiles(task.footprint.level)
    if native is None:
        raise StoreError(f"{slide.location}: the compressed tiles are gone since it was planned")
    tile = (native.tile.width, native.tile.height)
    cells = [(int(x), int(y)) for x, y in task.origins // tile]
    found = native.read_many(cells)
    chunks: list[bytes] = []
    status = np.zeros(len(cells), np.uint8)
    error = ""
    for i, data in enumerate(found):
        if isinstance(data, bytes):
            chunks.append(data)
            continue
        if data is None:
            again, status[i], sentence = _fill(slide, native, cells[i], task.encoding.codec)
        else:
            again, status[i], sentence = _copy_again(slide, native, cells[i])
        error = error or sentence
        chunks.append(again or encode_patch(white(task.footprint.patch_px), task.encoding))
    return chunks, status, error


def _copy_again(
    slide: Slide, native: NativeTiles, cell: tuple[int, int]
) -> tuple[bytes | None, int, str]:
    """Try once more with a fresh handle; the tile, its status and the error."""
    try:
        slide.reopen()
        fresh = slide.native_tiles(native.level)
        data = None if fresh is None else fresh.read(*cell)
    except RegionError as err:
        return None, UNREADABLE, str(err)
    return data, RETRIED, ""


def _fill(
    slide: Slide, native: NativeTiles, cell: tuple[int, int], codec: str
) -> tuple[bytes | None, int, str]:
    """Encode what the slide shows where its file has no tile; its bytes, status and error."""
    try:
        pixels = shown_tile(slide, native, cell)
    except RegionError as err:
        return None, UNREADABLE, str(err)
    best = (("level", 95), ("subsampling", "444")) if codec == JPEG else ()
    return encode_patch(pixels, Encoding(codec, best)), OK, ""


def unreadable_share(status: Sequence[NDArray[np.uint8]]) -> float:
    """Share of patches that could not be read."""
    every = np.concatenate(status) if status else np.zeros(0, np.uint8)
    return float(np.mean(every == UNREADABLE)) if every.size else 0.0
