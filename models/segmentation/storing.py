"""Masks of patches as one more array beside them in the archive."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from tiling import zarrjson
from tiling.encoding import encode_patch
from tiling.importing.patches import MASK_ENCODING
from tiling.storage import Storage
from tiling.store import DOCUMENT, PatchStore, SlideWriter, sealed_array, shard_key

Mask = NDArray[np.uint8]
SHARD_BYTES = 32 << 20
"""Of masks before they are compressed."""


def write_masks(
    store: PatchStore,
    name: str,
    masks: Iterable[Mask],
    *,
    side_px: int,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Add masks to a committed slide, or replace them: un-committed, data, document.

    What `PatchReader(store, name)` and `MaskedPatches` read. One shard is held in memory.

    Args:
        store: of the slide.
        name: of the array.
        masks: uint8 (P, P) of all patches of the slide in their order, 255 where there is none.
        side_px: P.
        about: attributes of the array, JSON values; by them a later run knows what it found.

    Raises:
        DataError: masks are of another size or number.
    """
    capacity = max(1, min(len(store), SHARD_BYTES // side_px**2))
    writer = SlideWriter(store.storage, store.slide_id)
    remove_masks(store.storage, store.slide_id, name)
    given, count = iter(masks), 0
    while chunks := [_encoded(mask, side_px, name) for mask in islice(given, capacity)]:
        writer.put_shard(count // capacity, chunks, capacity, shard_key(count // capacity, name, 3))
        count += len(chunks)
    if count != len(store):
        raise DataError(f"{store.slide_id} has {len(store)} patches, got {count} masks of {name}")
    known = {"microtome": dict(about or {}), "checksums": dict(writer.checksums)}
    document = zarrjson.array_document(
        (count, side_px, side_px),
        "u1",
        chunks=(capacity, side_px, side_px),
        codecs=[zarrjson.sharding_codec((1, side_px, side_px), MASK_ENCODING.metadata())],
        attributes=known,
    )
    writer.put(f"{name}/{DOCUMENT}", [sealed_array(document)])


def remove_masks(storage: Storage, slide_id: str, name: str) -> None:
    """Remove an array of masks, if it is there; its document first."""
    storage.delete(f"{slide_id}/{name}/{DOCUMENT}")
    storage.delete(f"{slide_id}/{name}")


def _encoded(mask: Mask, side_px: int, name: str) -> bytes:
    if mask.shape != (side_px, side_px) or mask.dtype != np.uint8:
        raise DataError(
            f"masks of {name} must be uint8 of {side_px} x {side_px} px, got {mask.dtype} "
            f"{mask.shape}"
        )
    return encode_patch(np.ascontiguousarray(mask), MASK_ENCODING)
