"""Whether committed embeddings are what was written: checksums, layout, finite numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tiling.embeddings import GROUP, Embeddings, Rows, embedding_ids
from tiling.errors import CorruptStoreError
from tiling.shard import crc32c
from tiling.store import DOCUMENT, PatchStore

Found = Iterator[tuple[str, str]]
"""Keys relative to the slide, and what is wrong there in a sentence."""


def embedding_problems(store: PatchStore) -> Found:
    """Read all embeddings of a slide again."""
    for encoder_id in embedding_ids(store):
        key = f"{GROUP}/{encoder_id}"
        try:
            found = Embeddings(store, encoder_id)
            written: dict[str, list[int]] = found.attributes["checksums"]
            document = store.read(f"{key}/{DOCUMENT}")
        except (CorruptStoreError, KeyError, TypeError, ValueError) as err:
            yield f"{key}/{DOCUMENT}", f"is damaged: {err}"
            continue
        if document != found.plan.document(found.attributes):
            yield f"{key}/{DOCUMENT}", "is not what was written"
            continue
        yield from _shards(store, found, key, written)


def _shards(store: PatchStore, found: Embeddings, key: str, written: dict[str, list[int]]) -> Found:
    for number in range(found.plan.shards):
        name = f"c/{number}/0"
        sentence = differs(store, f"{key}/{name}", written.get(name))
        if sentence:
            yield f"{key}/{name}", sentence
            continue
        rows = found.plan.rows(number)
        try:
            sentence = _numbers(found.read(rows.start, rows.stop), rows)
        except (CorruptStoreError, ValueError) as err:
            sentence = str(err)
        if sentence:
            yield f"{key}/{name}", sentence


def differs(store: PatchStore, key: str, written: Any) -> str:
    """Say how an object differs from what was written; nothing where it does not."""
    if written is None:
        return "nobody wrote down its checksum"
    size, checksum = written
    try:
        data = store.read(key)
    except OSError as err:
        return f"cannot be read: {err}"
    if len(data) != size:
        return f"has {len(data)} bytes, {size} were written"
    return "" if crc32c([data]) == checksum else "its checksum is not that of what was written"


def _numbers(rows: Rows, numbers: range) -> str:
    finite = np.isfinite(rows).all(axis=1)
    if len(rows) != len(numbers):
        return f"has {len(rows)} rows, not {len(numbers)}"
    return "" if finite.all() else f"row {numbers[int(np.argmin(finite))]} is NaN or infinite"
