"""Random access to patches, against zarr-python and on damaged shards."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr

from tests.tiling.archives import Pixels, cut
from tests.tiling.conftest import ENCODINGS
from tiling import reader as module
from tiling.errors import CorruptStoreError, StoreError
from tiling.reader import PatchReader
from tiling.shard import shard_parts
from tiling.storage import ObjectStorage
from tiling.store import Archive, PatchStore

IDS = [name.replace(":", "-") for name in ENCODINGS]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, svs: Path) -> PatchStore:
    """56 patches in shards of 10; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiling.plan.SHARD_BYTES", 10 * (3 * 128 * 128 + 1024))
        store = cut(tmp_path_factory.mktemp("many") / "a.zarr", svs, encoding="raw")
    assert (len(store), store.attributes["shard_patches"]) == (56, 10)
    return store


@pytest.fixture(scope="module", params=["folder", "memory"])
def many(request: pytest.FixtureRequest, local: PatchStore) -> Iterator[PatchStore]:
    """The same on both kinds of storage."""
    if request.param == "folder":
        yield local
        return
    memory = fsspec.filesystem("memory")
    memory.put(local.storage.root, "/reader.zarr", recursive=True)
    remote = Archive.open("memory://reader.zarr")
    assert isinstance(remote.storage, ObjectStorage)
    yield remote["slide"]
    memory.rm("/reader.zarr", recursive=True)


@pytest.fixture(scope="module")
def expected(local: PatchStore) -> Pixels:
    """What zarr-python reads."""
    return np.asarray(zarr.open_group(local.storage.root, mode="r")["slide/patches"][:])


def test_single_patches(many: PatchStore, expected: Pixels) -> None:
    reader = PatchReader(many)
    assert len(reader) == 56
    assert reader.patch_px == 128
    for i in (0, 9, 10, 55, -1, -56):
        np.testing.assert_array_equal(reader[i], expected[i])
        assert reader.encoded(i) == expected[i].tobytes()


def test_all_patches_in_order(many: PatchStore, expected: Pixels) -> None:
    np.testing.assert_array_equal(list(PatchReader(many)), expected)


@pytest.mark.parametrize(
    "indices",
    [
        pytest.param([], id="none"),
        pytest.param([3], id="one"),
        pytest.param([55, 0, 31, 9, 10], id="any-order"),
        pytest.param([7, 7, 50, 7, 50], id="repeats"),
        pytest.param([-1, -56, 0, 55], id="negative"),
        pytest.param(np.arange(55, -1, -3, dtype=np.uint16), id="numpy"),
        pytest.param(range(56), id="all"),
    ],
)
def test_batches(many: PatchStore, expected: Pixels, indices: list[int]) -> None:
    batch = PatchReader(many).read(indices)
    assert batch.shape == (len(indices), 128, 128, 3)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, expected[[int(i) for i in indices]])


def test_random_batches(many: PatchStore, expected: Pixels) -> None:
    reader = PatchReader(many)
    rng = np.random.default_rng(0)
    for _ in range(10):
        indices = rng.integers(-56, 56, 17)
        np.testing.assert_array_equal(reader.read(indices), expected[indices])


@pytest.mark.parametrize("index", [56, -57, 1000])
def test_out_of_range(many: PatchStore, index: int) -> None:
    reader = PatchReader(many)
    calls: list[Callable[[], object]] = [
        lambda: reader[index],
        lambda: reader.encoded(index),
        lambda: reader.read([0, index]),
    ]
    for call in calls:
        with pytest.raises(IndexError, match=f"no patch {index}: the slide has 56"):
            call()


@pytest.mark.parametrize("slide_id", IDS)
def test_a_given_array_is_filled(archive: Path, slide_id: str) -> None:
    reader = PatchReader(Archive.open(str(archive))[slide_id])
    out = np.full((3, reader.patch_px, reader.patch_px, 3), 7, np.uint8)
    assert reader.read([2, 0, 5], out) is out
    np.testing.assert_array_equal(out, [reader[2], reader[0], reader[5]])


@pytest.mark.parametrize(
    "out",
    [
        pytest.param(np.empty((2, 128, 128, 3), np.uint8), id="too-few"),
        pytest.param(np.empty((3, 128, 64, 3), np.uint8), id="too-narrow"),
        pytest.param(np.empty((3, 128, 128, 3), np.float32), id="type"),
        pytest.param(np.empty((3, 128, 128, 6), np.uint8)[..., ::2], id="not-contiguous"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(archive: Path, out: Pixels) -> None:
    reader = PatchReader(Archive.open(str(archive))["passthrough-jpeg"])
    with pytest.raises(ValueError, match=r"out must be uint8 \(3, 128, 128, 3\), got"):
        reader.read([0, 1, 2], out)


def test_readers_pickle(many: PatchStore, expected: Pixels) -> None:
    reader = PatchReader(many)
    np.testing.assert_array_equal(reader[3], expected[3])
    data = pickle.dumps(reader)
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.read([3, 44]), expected[[3, 44]])
    assert len(data) < 20_000  # no patch, no mapping


def test_closing_is_not_the_end(many: PatchStore, expected: Pixels) -> None:
    reader = PatchReader(many)
    np.testing.assert_array_equal(reader[3], expected[3])
    reader.close()
    np.testing.assert_array_equal(reader[3], expected[3])


def test_few_mappings_are_enough(
    many: PatchStore, expected: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_SHARDS", 1)
    reader = PatchReader(many)
    indices = [0, 55, 1, 54, 20, 21, 0]
    np.testing.assert_array_equal(reader.read(indices), expected[indices])
    if isinstance(reader._shards, module._MappedShards):
        assert list(reader._shards._open) == [0]


def test_a_shard_that_is_used_stays_mapped(
    many: PatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_SHARDS", 2)
    reader = PatchReader(many)
    for index in (0, 10, 1, 20):  # shards 0, 1, 0, 2: the one not used for longest is 1
        reader[index]
    if isinstance(reader._shards, module._MappedShards):
        assert set(reader._shards._open) == {0, 2}


# Damage.


def shard(store: PatchStore) -> Path:
    return Path(store.storage.root, "slide", "patches", "c", "0", "0", "0", "0")


def test_a_damaged_index_is_said(store: PatchStore) -> None:
    path = shard(store)
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"c/0/0/0/0: the checksum of the shard index"):
        PatchReader(store)[0]


@pytest.mark.parametrize("size", [1, 100])
def test_a_cut_shard_is_said(store: PatchStore, size: int) -> None:
    shard(store).write_bytes(shard(store).read_bytes()[:size])
    with pytest.raises(CorruptStoreError, match=r"shard index"):
        PatchReader(store)[0]


@pytest.mark.parametrize("how", ["empty", "missing"])
def test_a_shard_that_is_not_there_is_said(store: PatchStore, how: str) -> None:
    if how == "empty":
        shard(store).write_bytes(b"")
    else:
        shard(store).unlink()
    with pytest.raises(StoreError, match=r"cannot read .*c/0/0/0/0"):
        PatchReader(store)[0]


@pytest.mark.parametrize("encoding", ["auto", "lossless", "raw"])
def test_a_damaged_patch_is_said_and_the_others_are_read(
    tmp_path: Path, svs: Path, encoding: str
) -> None:
    changes = {} if encoding == "auto" else {"patch_size_px": 100}
    store = cut(tmp_path / "a.zarr", svs, encoding=encoding, **changes)
    reader = PatchReader(store)
    good = [reader[i] for i in range(3)]
    path = shard(store)
    data = path.read_bytes()
    at = data.index(reader.encoded(1))
    length = len(reader.encoded(1))
    if encoding == "raw":  # a wrong length is all that raw bytes can show
        chunks = [reader.encoded(i) for i in range(len(reader))]
        chunks[1] = chunks[1][:-1]
        path.write_bytes(b"".join(shard_parts(chunks, store.attributes["shard_patches"])))
    else:
        path.write_bytes(data[:at] + bytes(length) + data[at + length :])
    reader = PatchReader(store)
    calls: list[Callable[[], object]] = [lambda: reader[1], lambda: reader.read([0, 1])]
    for call in calls:
        with pytest.raises(CorruptStoreError, match="stored patch"):
            call()
    np.testing.assert_array_equal(reader.read([0, 2]), [good[0], good[2]])


def test_a_patch_that_the_index_lacks_is_said(store: PatchStore) -> None:
    reader = PatchReader(store)
    chunks = [reader.encoded(i) for i in range(5)]
    shard(store).write_bytes(b"".join(shard_parts(chunks, 56)))
    np.testing.assert_array_equal(PatchReader(store)[4], reader[4])
    with pytest.raises(CorruptStoreError, match="stored patch"):
        PatchReader(store)[5]
