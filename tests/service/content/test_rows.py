from pathlib import Path

import numpy as np
import pytest

from service.content.rows import StoredBag
from tests.models.bags.large import make_large
from tests.models.bags.planted import ENCODER
from tiling import embeddings
from tiling.embeddings import Embeddings
from tiling.errors import CorruptStoreError
from tiling.store import Archive, PatchStore

ROWS, DIM = 9_000, 5


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PatchStore:
    """A slide whose rows lie in eight chunks and four shards."""
    monkeypatch.setattr(embeddings, "SHARD_BYTES", 2 * 1125 * DIM * 4)
    make_large(tmp_path / "a.zarr", ROWS, DIM)
    store = Archive.open(str(tmp_path / "a.zarr"))["large"]
    plan = Embeddings(store, ENCODER).plan
    assert (plan.chunk_rows, plan.chunks_per_shard, plan.shards) == (1125, 2, 4)
    return store


def test_any_rows_are_those_that_are_stored(store: PatchStore) -> None:
    bag, stored = StoredBag(store, ENCODER, keep_unreadable=True), Embeddings(store, ENCODER)
    rng = np.random.default_rng(0)
    ranges = [(0, ROWS), (0, 0), (8_999, 9_000), (1_124, 1_126), (2_249, 4_501), (9_000, 9_100)]
    ranges += [sorted(pair) for pair in rng.integers(0, ROWS, (30, 2)).tolist()]  # type: ignore[misc]
    for start, stop in ranges:
        assert np.array_equal(bag.read(start, stop), stored.read(start, stop))
    assert np.array_equal(bag.read(dtype="f2"), stored.read().astype(np.float16))


def test_a_shard_that_is_cut_short_is_told_of(store: PatchStore) -> None:
    bag = StoredBag(store, ENCODER, keep_unreadable=True)
    bag.read(0, 10)
    path = Path(store.storage.root, "large", "embeddings", ENCODER, "c", "0", "0")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CorruptStoreError, match="cut short"):
        bag.read(1000, 1010)
    with pytest.raises(CorruptStoreError, match="checksum of the shard index"):
        StoredBag(store, ENCODER, keep_unreadable=True).read(0, 10)
