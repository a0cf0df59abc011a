"""Batches are what the reader gives, in order, whatever the threads."""

from pathlib import Path

import numpy as np
import pytest

from models.embedding import reading
from models.embedding.reading import BatchSource
from tiling.errors import CorruptStoreError
from tiling.reader import PatchReader
from tiling.store import Archive, PatchStore


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_batches_are_the_patches_in_order(store: PatchStore, threads: int, size: int) -> None:
    source = BatchSource(store, threads=threads)
    batches = [batch.numpy() for batch in source.batches(range(3, 45), size)]
    source.close()
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    expected = PatchReader(store).read(range(3, 45))
    np.testing.assert_array_equal(np.concatenate(batches), expected)
    assert source.patch_shape == (160, 160, 3)


def test_what_waits_is_bounded(store: PatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AHEAD_BYTES", 1)
    source = BatchSource(store, threads=4)
    read: list[int] = []
    plain = source._read
    monkeypatch.setattr(source, "_read", lambda part: (read.append(part.start), plain(part))[1])
    batches = source.batches(range(49), 2)
    next(batches)
    assert len(read) <= 3  # the one that was given, and two that wait
    batches.close()
    assert len(read) <= 3


def test_no_rows_are_no_batches(store: PatchStore) -> None:
    assert list(BatchSource(store).batches(range(0), 4)) == []


def test_a_damaged_patch_is_an_error(archive: Archive) -> None:
    shard = Path(archive.location, "one/patches/c/0/0/0/0")
    shard.write_bytes(shard.read_bytes()[:-20] + bytes(20))
    source = BatchSource(archive["one"], threads=2)
    with pytest.raises(CorruptStoreError, match="checksum of the shard index is wrong"):
        list(source.batches(range(49), 8))
