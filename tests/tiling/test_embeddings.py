"""Embeddings beside patches: what zarr-python reads, what is bounded, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.tiling.archives import cut
from tiling import embeddings
from tiling.embeddings import (
    CHUNK_ROWS,
    EmbeddingPlan,
    Embeddings,
    array_key,
    commit,
    embedding_ids,
    put_shard,
    staged_key,
)
from tiling.errors import CorruptStoreError, StoreError
from tiling.storage import LocalStorage
from tiling.store import Archive, PatchStore
from tiling.verify import verify_store
from wsi.synthetic import SvsSpec, write_svs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """An archive of one slide with 2,500 patches of 16 px; not to be changed."""
    folder = tmp_path_factory.mktemp("embeddings")
    write_svs(folder / "s.svs", cmu_slide, 800, SvsSpec(mpp=0.5, with_associated=False))
    store = cut(folder / "a.zarr", folder / "s.svs", patch_size_px=16, encoding="raw")
    assert len(store) == 2500
    return folder / "a.zarr"


@pytest.fixture
def store(made: Path, tmp_path: Path) -> PatchStore:
    shutil.copytree(made, tmp_path / "a.zarr")
    return Archive.open(str(tmp_path / "a.zarr"))["slide"]


def rows_of(count: int, dim: int, dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dim)).astype(dtype)


def write(store: PatchStore, name: str, rows: np.ndarray, *, staged: bool = True) -> None:
    """Write rows as a run does."""
    plan = EmbeddingPlan(len(rows), rows.shape[1], rows.dtype.str[1:])
    key = array_key(store.slide_id, name)
    prefix = staged_key(store.storage, store.slide_id, name, "run") if staged else key
    sums: dict[str, list[int]] = {}
    for number in range(plan.shards):
        sums |= put_shard(store.storage, prefix, plan, number, rows[list(plan.rows(number))])
    commit(store.storage, key, plan, {"checksums": sums}, staged=prefix if staged else None)


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("staged", [True, False])
def test_zarr_reads_what_was_written(store: PatchStore, dtype: str, staged: bool) -> None:
    rows = rows_of(2500, 7, dtype)
    write(store, "resnet18", rows, staged=staged)
    root = zarr.open_group(store.storage.root, mode="r")
    array = root["slide/embeddings/resnet18"]
    assert isinstance(array, zarr.Array)
    assert (array.dtype, array.chunks, array.shards) == (rows.dtype, (1250, 7), (2500, 7))
    np.testing.assert_array_equal(array[:], rows)
    assert not Path(store.storage.root, ".microtome/staging").exists() or not list(
        Path(store.storage.root, ".microtome/staging").iterdir()
    )


def test_ranges_are_read_across_chunks_and_shards(
    store: PatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "SHARD_BYTES", CHUNK_ROWS * 5 * 4)  # one chunk a shard
    rows = rows_of(2500, 5)
    write(store, "e", rows)
    found = Embeddings(store, "e")
    assert found.plan.shards == 2
    for start, stop in [(0, 2500), (1000, 1030), (1024, 2048), (1249, 1251), (2499, 2500), (5, 5)]:
        np.testing.assert_array_equal(found.read(start, stop), rows[start:stop])
    np.testing.assert_array_equal(found.read(-3), rows[-3:])
    np.testing.assert_array_equal(np.concatenate(list(found.blocks(700))), rows)
    assert verify_store(store) == []


def test_twenty_thousand_wide_rows_take_at_most_six_files(tmp_path: Path) -> None:
    storage, plan = LocalStorage(str(tmp_path)), EmbeddingPlan(20_000, 1536, "f4")
    block = np.zeros((plan.rows_per_shard, plan.dim), np.float32)
    sums = {}
    for number in range(plan.shards):
        sums |= put_shard(storage, "s/embeddings/e", plan, number, block[: len(plan.rows(number))])
    commit(storage, "s/embeddings/e", plan, {"checksums": sums})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) <= 6
    assert max(path.stat().st_size for path in files) <= (64 << 20) + 1024
    group = zarr.open_group(str(tmp_path / "s/embeddings"), mode="r")
    assert group["e"].shape == (20_000, 1536)


@pytest.mark.parametrize("count", [1, 6, 1023, 1024, 1025, 2047, 2048, 30_001])
def test_no_room_is_taken_for_rows_that_are_not_there(count: int) -> None:
    plan = EmbeddingPlan(count, 8, "f4")
    chunks = -(-count // plan.chunk_rows)
    assert plan.chunk_rows * chunks - count < chunks
    assert plan.chunk_rows >= min(count, CHUNK_ROWS)


def test_a_slide_without_patches_has_embeddings_without_rows(tmp_path: Path, made: Path) -> None:
    empty = cut(tmp_path / "a.zarr", made.parent / "s.svs", min_tissue=1.1)
    write(empty, "e", np.zeros((0, 9), np.float16))
    found = Embeddings(empty, "e")
    assert (len(found), found.dim, found.dtype, list(found.blocks())) == (0, 9, np.float16, [])
    assert found.read().shape == (0, 9)
    assert zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["slide/embeddings/e"].shape == (0, 9)
    assert verify_store(empty) == []


def test_only_committed_embeddings_are_seen(store: PatchStore) -> None:
    assert embedding_ids(store) == []
    rows = rows_of(2500, 4)
    plan = EmbeddingPlan(2500, 4, "f4")
    put_shard(store.storage, array_key("slide", "half"), plan, 0, rows)
    write(store, "b", rows)
    write(store, "a", rows)
    assert embedding_ids(store) == ["a", "b"]
    with pytest.raises(StoreError, match=r"no embeddings of 'half'; there are: a, b"):
        Embeddings(store, "half")


def test_a_second_commit_replaces_the_first_wholly(store: PatchStore) -> None:
    write(store, "e", rows_of(2500, 4))
    write(store, "e", rows_of(2500, 6, "f2"))
    assert Embeddings(store, "e").read().shape == (2500, 6)
    assert verify_store(store) == []


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "a b", "ä", "../up", "x" * 200])
def test_names_that_are_no_names_are_refused(name: str) -> None:
    with pytest.raises(StoreError, match="cannot name an encoder"):
        array_key("slide", name)


def test_rows_of_another_shape_are_refused(store: PatchStore) -> None:
    plan = EmbeddingPlan(2500, 4, "f4")
    with pytest.raises(ValueError, match=r"shard 0 has 2500 rows, got \(2499, 4\)"):
        put_shard(store.storage, "k", plan, 0, rows_of(2499, 4))


def test_rows_of_another_slide_are_refused(store: PatchStore) -> None:
    write(store, "e", rows_of(2400, 4))
    with pytest.raises(CorruptStoreError, match="2400 rows for 2500 patches"):
        Embeddings(store, "e")


def test_staged_names_tell_which_run_they_are_of(store: PatchStore) -> None:
    prefix = staged_key(store.storage, "a.b", "e" * 128, "token")
    assert prefix.rpartition(".")[2] == "token"
    assert "/" not in prefix.removeprefix(".microtome/staging/")
    assert len(prefix.rpartition("/")[2]) < 255


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def _nan(folder: Path) -> None:
    """Put a NaN where the checksums say that it belongs there."""
    store = Archive.open(str(folder.parents[2]))["slide"]
    rows = Embeddings(store, "e").read()
    rows[1500, 1] = np.nan
    write(store, "e", rows)


DAMAGE = {
    "a flipped bit": (lambda f: _flip(f / "c/0/0", 100), "c/0/0", "its checksum"),
    "a cut shard": (lambda f: (f / "c/0/0").write_bytes(b"x"), "c/0/0", "has 1 bytes"),
    "a lost shard": (lambda f: (f / "c/0/0").unlink(), "c/0/0", "cannot be read"),
    "a changed document": (
        lambda f: (f / "zarr.json").write_text(
            (f / "zarr.json").read_text().replace('"fill_value": 0', '"fill_value": 1')
        ),
        "zarr.json",
        "is not what was written",
    ),
    "no document at all": (lambda f: (f / "zarr.json").write_text("{"), "zarr.json", "is damaged"),
    "a document of something else": (
        lambda f: (f / "zarr.json").write_text(json.dumps({"shape": [1, 2]})),
        "zarr.json",
        "is damaged",
    ),
    "not a number": (_nan, "c/0/0", "row 1500 is NaN or infinite"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_named(store: PatchStore, kind: str) -> None:
    write(store, "e", rows_of(2500, 4))
    write(store, "whole", rows_of(2500, 4))
    assert verify_store(store) == []
    damage, where, sentence = DAMAGE[kind]
    damage(Path(store.storage.root, "slide/embeddings/e"))
    (problem,) = verify_store(store)
    assert problem.key == f"embeddings/e/{where}"
    assert sentence in problem.sentence
