"""Whether a slide's store is what was written, and whether its pixels are those of the slide."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import COPIED, JPEG, RAW, ZSTD, decode_patch, encode_patch, read_encoding
from tiling.errors import CorruptStoreError
from tiling.grid import Grid
from tiling.pixels import Footprint, cut_patches
from tiling.reader import PatchReader
from tiling.shard import MISSING, crc32c, index_bytes, read_index
from tiling.store import DOCUMENT, NUMPY_TYPES, PatchStore, shard_key, slide_document
from tiling.tiles import UNREADABLE
from tiling.verify_added import added_problems
from tiling.verify_embeddings import embedding_problems
from tiling.verify_maps import map_problems
from wsi.geometry import Point, Region, Size
from wsi.slide import Slide

Pixels = NDArray[np.uint8]

DECODERS_DB = 50.0
"""Least agreement of two decoders of the same bytes, which may round differently."""

SLACK_DB = 1.0
"""What a JPEG may be worse than the same pixels encoded now, maybe by another libjpeg."""


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written: where, and one sentence."""

    slide_id: str
    key: str
    sentence: str


def verify_store(store: PatchStore, against: Slide | None = None) -> list[Problem]:
    """Read a committed slide again: checksums, shard indexes, every codestream, counts.

    With `against`, every patch is also compared with what the slide shows: bit for bit where it was
    stored without loss, by PSNR where it was stored as JPEG. Embeddings, maps and arrays that were
    added later are read again, too.
    """
    found = chain(embedding_problems(store), map_problems(store), added_problems(store))
    problems = [Problem(store.slide_id, key, sentence) for key, sentence in found]
    return _patch_problems(store, against) + problems


def _patch_problems(store: PatchStore, against: Slide | None) -> list[Problem]:
    for check in (_document, _checksums, _counts, _decode_all):
        problems = list(check(store))
        if problems:  # what follows would only say the same again
            return problems
    return [] if against is None else list(_compare(store, against))


def _document(store: PatchStore) -> Iterator[Problem]:
    if store.read(DOCUMENT) != slide_document(store.attributes):
        yield Problem(store.slide_id, DOCUMENT, "is not what was written")


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
    for name in ("coords", "tissue_fraction", "status", "patches", *_optional(store)):
        found = store.document(name)["shape"][0]
        if found != count:
            yield Problem(store.slide_id, name, f"has {found} entries for {count} patches")


def _optional(store: PatchStore) -> list[str]:
    """Arrays that a slide may have besides, one entry per patch, written with it."""
    written = store.attributes["checksums"]
    return [name for name in ("labels", "partition", "masks") if f"{name}/{DOCUMENT}" in written]


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


def _decode_all(store: PatchStore) -> Iterator[Problem]:
    document = store.document("patches")
    encoding = read_encoding(document["codecs"][0]["configuration"]["codecs"])
    shape, dtype = document["shape"][1:], np.dtype(NUMPY_TYPES[document["data_type"]])
    room = prod(shape) * (dtype.itemsize if encoding.codec in (RAW, ZSTD) else 1)
    for patch, data in _patches(store):
        if isinstance(data, Problem):
            yield data
            continue
        try:
            pixels = decode_patch(data, encoding)
        except CorruptStoreError as err:
            yield Problem(store.slide_id, f"patch {patch}", str(err))
            continue
        if pixels.size != room:  # plain numbers decode to bytes, pictures to pixels
            yield Problem(store.slide_id, f"patch {patch}", f"decodes to {pixels.shape}")


def _compare(store: PatchStore, slide: Slide) -> Iterator[Problem]:
    native = slide.native_tiles(int(store.attributes["level"]))
    two_decoders = native is not None and native.codec == "jpeg2k"
    reader = PatchReader(store)
    encoded = reader.encoding.codec == JPEG and store.attributes["encoding"]["label"] != COPIED
    status = store.status
    for position, shown in _shown(store, slide):
        if status[position] == UNREADABLE:
            continue
        least = DECODERS_DB if two_decoders else np.inf
        if encoded:
            again = decode_patch(encode_patch(shown, reader.encoding), reader.encoding)
            least = min(psnr(again, shown) - SLACK_DB, DECODERS_DB)
        decibel = psnr(reader[position], shown)
        if decibel < least:
            sentence = f"differs from the slide, PSNR {decibel:.1f} dB"
            yield Problem(store.slide_id, f"patch {position}", sentence)


def _shown(store: PatchStore, slide: Slide) -> Iterator[tuple[int, Pixels]]:
    """What the slide shows of each patch: read by its own reader where that reads whole pixels.

    OpenSlide blends pixels of a level whose downsample is no whole number.
    """
    known = store.attributes
    grid, level, px = Grid(**known["grid"]), int(known["level"]), int(known["patch_size_px"])
    origins = grid.origins(grid.nearest(store.coords))
    if known["reduction"] != [1, 1] or grid.downsample % 1:
        extent = grid.extent_x, grid.extent_y
        footprint = Footprint(*extent, px, level, grid.downsample, bool(known["icc"]))
        yield from ((cut.position, cut.pixels) for cut in cut_patches(slide, footprint, origins))
        return
    for position, (x, y) in enumerate(np.rint(origins * grid.downsample).astype(int).tolist()):
        yield position, slide.read_region(Region(Point(x, y), level, Size(px, px)))


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio of two pictures in decibels; infinite where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
