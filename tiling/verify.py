"""Whether a slide's store is what was written, and whether its pixels are those of the slide."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import JPEG, JPEG2K, Encoding, decode_patch
from tiling.errors import CorruptStoreError
from tiling.grid import Grid
from tiling.pixels import UNREADABLE, Footprint, cut_patches
from tiling.shard import MISSING, crc32c, index_bytes, read_index
from tiling.store import PatchStore, shard_key
from wsi.geometry import Point, Region, Size
from wsi.slide import Slide

Pixels = NDArray[np.uint8]

LEAST_DB = {JPEG: 30.0, JPEG2K: 50.0}
"""Least agreement with the slide: of what was encoded as JPEG (H&E at quality 75 has 36 dB and
more), and of two JPEG 2000 decoders, which may round differently. All else must be equal."""


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written: where, and one sentence."""

    slide_id: str
    key: str
    sentence: str


def verify_store(store: PatchStore, against: Slide | None = None) -> list[Problem]:
    """Read a committed slide again: checksums, shard indexes, every codestream, counts.

    With `against`, every patch is also compared with what the slide shows: bit for bit where it was
    stored without loss, by PSNR where it was stored as JPEG.
    """
    problems = [*_checksums(store), *_counts(store)]
    if not problems:
        problems = list(_decode_all(store))
    if not problems and against is not None:
        problems = list(_compare(store, against))
    return problems


def _checksums(store: PatchStore) -> Iterator[Problem]:
    for key, (size, checksum) in store.attributes["checksums"].items():
        try:
            data = store.read(key)
        except OSError as err:
            yield Problem(store.slide_id, key, f"cannot be read: {err}")
            continue
        if len(data) != size:
            yield Problem(store.slide_id, key, f"has {len(data)} bytes, {size} were written")
        elif crc32c([data]) != checksum:
            yield Problem(store.slide_id, key, "its checksum is not that of what was written")


def _counts(store: PatchStore) -> Iterator[Problem]:
    count = len(store)
    for name in ("coords", "tissue_fraction", "status", "patches"):
        try:
            found = store.document(name)["shape"][0]
        except (OSError, ValueError) as err:
            yield Problem(store.slide_id, name, f"its document cannot be read: {err}")
            continue
        if found != count:
            yield Problem(store.slide_id, name, f"has {found} entries for {count} patches")


def _patches(store: PatchStore) -> Iterator[tuple[int, bytes | Problem]]:
    """Every patch's number and stored bytes; a shard that is broken gives one problem."""
    capacity = int(store.attributes["shard_patches"])
    for number in range(-(-len(store) // capacity)):
        key = shard_key(number)
        data = store.read(key)
        tail = data[max(0, len(data) - index_bytes(capacity)) :]
        try:
            index = read_index(tail, capacity, len(data))
        except CorruptStoreError as err:
            yield number * capacity, Problem(store.slide_id, key, str(err))
            continue
        for chunk in range(min(capacity, len(store) - number * capacity)):
            start, length = (int(value) for value in index[chunk])
            patch = number * capacity + chunk
            if start == int(MISSING):
                yield patch, Problem(store.slide_id, key, f"patch {patch} is missing")
            else:
                yield patch, data[start : start + length]


def _encoding(store: PatchStore) -> Encoding:
    inner: dict[str, Any] = store.document("patches")["codecs"][0]["configuration"]["codecs"][0]
    return Encoding(inner["name"], tuple(sorted(inner.get("configuration", {}).items())))


def _decode_all(store: PatchStore) -> Iterator[Problem]:
    encoding = _encoding(store)
    side = int(store.attributes["patch_size_px"])
    for patch, data in _patches(store):
        if isinstance(data, Problem):
            yield data
            continue
        try:
            pixels = decode_patch(data, encoding)
        except CorruptStoreError as err:
            yield Problem(store.slide_id, f"patch {patch}", str(err))
            continue
        if pixels.size != 3 * side * side:
            yield Problem(store.slide_id, f"patch {patch}", f"decodes to {pixels.shape}")


def _compare(store: PatchStore, slide: Slide) -> Iterator[Problem]:
    known = store.attributes
    encoding = _encoding(store)
    copied_jpeg = known["encoding"]["label"] == "passthrough" and encoding.codec == JPEG
    least = np.inf if copied_jpeg else LEAST_DB.get(encoding.codec, np.inf)
    status = store.status
    stored = dict(_patches(store))
    for position, shown in _shown(store, slide):
        data = stored[position]
        if isinstance(data, Problem) or status[position] == UNREADABLE:
            continue
        pixels = decode_patch(data, encoding).reshape(shown.shape)
        decibel = psnr(pixels, shown)
        if decibel < least:
            sentence = f"differs from the slide, PSNR {decibel:.1f} dB"
            yield Problem(store.slide_id, f"patch {position}", sentence)


def _shown(store: PatchStore, slide: Slide) -> Iterator[tuple[int, Pixels]]:
    """What the slide shows of each patch: read by its own reader where nothing is reduced."""
    known = store.attributes
    grid = Grid(**known["grid"])
    origins = grid.origins(grid.nearest(store.coords))
    px = int(known["patch_size_px"])
    if known["reduction"] != [1, 1]:
        footprint = Footprint(grid.extent_x, grid.extent_y, px, known["level"], grid.downsample)
        yield from ((cut.position, cut.pixels) for cut in cut_patches(slide, footprint, origins))
        return
    for position, (x, y) in enumerate(np.rint(origins * grid.downsample).astype(int).tolist()):
        yield position, slide.read_region(Region(Point(x, y), known["level"], Size(px, px)))


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio of two pictures in decibels; infinite where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
