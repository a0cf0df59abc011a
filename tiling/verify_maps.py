"""Whether committed maps are what was written: checksums, layout, every chunk decoded."""

from collections.abc import Iterator
from typing import Any

from tiling import zarrjson
from tiling.errors import CorruptStoreError, StoreError
from tiling.maps import GROUP, MapLayout, Shape, SlideMap, map_document, map_names
from tiling.store import DOCUMENT, PatchStore
from tiling.tissuemap import CLASSES, ENTROPY, KIND, PROBABILITIES, TissueMap
from tiling.verify_embeddings import Found, differs

PER_PATCH = "patches"
"""Array of a map that has one column per patch of the slide."""


def map_problems(store: PatchStore) -> Found:
    """Read all maps of a slide again; one that is being written is not there yet.

    At most one shard is held in memory.
    """
    names = map_names(store)
    group = f"{GROUP}/{DOCUMENT}"
    if names and not store.storage.exists(f"{store.slide_id}/{group}"):
        yield group, "is missing: other programs do not find the maps"
    for name in names:
        key = f"{GROUP}/{name}"
        try:
            found = _open(store, name)
            arrays = [str(array) for array in found.attributes["arrays"]]
            written = {str(one): list(sums) for one, sums in found.attributes["checksums"].items()}
        except (StoreError, OSError, KeyError, TypeError, ValueError, AttributeError) as err:
            yield f"{key}/{DOCUMENT}", f"is damaged: {err}"
            continue
        if store.read(f"{key}/{DOCUMENT}") != _document(found.attributes):
            yield f"{key}/{DOCUMENT}", "is not what was written"
            continue
        for relative, sentence in _map_problems(store, found, arrays, written):
            yield f"{key}/{relative}", sentence


def _open(store: PatchStore, name: str) -> SlideMap:
    """Open a map as what it says that it is."""
    found = SlideMap(store, name)
    return TissueMap(store, name) if found.attributes.get("kind") == KIND else found


def _document(attributes: dict[str, Any]) -> bytes:
    """What should be stored: sealed, or plain as earlier versions wrote it."""
    if "checksum" in attributes:
        return map_document(attributes)
    return zarrjson.group_document({"microtome": attributes})


def _map_problems(
    store: PatchStore, found: SlideMap, arrays: list[str], written: dict[str, list[int]]
) -> Found:
    shapes = _shapes(store, found)
    for array in arrays:
        key = f"{array}/{DOCUMENT}"
        sentence = differs(store, f"{GROUP}/{found.name}/{key}", written.get(key))
        if sentence:  # where the shards are is not known then
            yield key, sentence
            continue
        layout = found.layout(array)
        wanted = shapes.get(array, layout.shape)
        if not _fits(layout.shape, wanted):
            yield key, f"has the shape {layout.shape}, not {_told(wanted)}"
        yield from _shards(store, found, (array, layout), written)
    for array in sorted(set(shapes) - set(arrays)):
        yield DOCUMENT, f"names no array {array!r}"


def _shapes(store: PatchStore, found: SlideMap) -> dict[str, tuple[int | None, ...]]:
    """Shapes that arrays must have; None is any length."""
    if not isinstance(found, TissueMap):
        known = found.attributes["arrays"]
        return {PER_PATCH: (None, len(store))} if PER_PATCH in known else {}
    plane = found.frame.height_px, found.frame.width_px
    count = len(found.legend.names)
    return {PROBABILITIES: (count, *plane), CLASSES: plane, ENTROPY: plane}


def _fits(shape: Shape, wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want is None or have == want for have, want in zip(shape, wanted, strict=True)
    )


def _told(wanted: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if length is None else str(length) for length in wanted) + ")"


def _shards(
    store: PatchStore,
    found: SlideMap,
    of: tuple[str, MapLayout],
    written: dict[str, list[int]],
) -> Iterator[tuple[str, str]]:
    """Check every shard of an array; what differs from its checksum is not decoded."""
    array, layout = of
    for number in layout.shards:
        key = "/".join([array, "c", *map(str, number)])
        sentence = differs(store, f"{GROUP}/{found.name}/{key}", written.get(key))
        if not sentence:
            box = [slice(n * s, (n + 1) * s) for n, s in zip(number, layout.shard, strict=True)]
            try:
                found.read(array, box)
            except (CorruptStoreError, ValueError) as err:
                sentence = str(err)
        if sentence:
            yield key, sentence
