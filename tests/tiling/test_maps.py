"""Maps beside the patches: what is written is plain Zarr, and appears at once."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tiling import maps
from tiling.errors import CorruptStoreError, StoreError
from tiling.maps import MapLayout, SlideMap, map_names, write_map
from tiling.store import Archive, PatchStore, slide_document


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    archive = Archive.create(str(tmp_path / "a.zarr"))
    archive.storage.write("s/zarr.json", [slide_document({"slide_id": "s", "n_patches": 0})])
    return archive["s"]


ARRAYS = {
    "pixels": np.arange(2 * 600 * 1030, dtype=np.uint32).reshape(2, 600, 1030).astype(np.uint8),
    "classes": (np.arange(1, 700 * 520 + 1).reshape(700, 520) % 5).astype(np.int16),
    "values": np.linspace(-1, 1, 70_001, dtype=np.float32)[None],
    "empty": np.zeros((1, 0), np.float32),
    "flat": np.arange(9, dtype=np.int32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_written_is_read_by_zarr_and_by_us(store: PatchStore, name: str) -> None:
    write_map(store, "m", {name: ARRAYS[name]}, {"kind": "test"})
    place = Path(store.storage.root, store.slide_id, "maps")
    theirs = zarr.open_group(place, mode="r")[f"m/{name}"]
    assert theirs.dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(theirs[:], ARRAYS[name])
    np.testing.assert_array_equal(SlideMap(store, "m").read(name), ARRAYS[name])


def test_a_large_picture_is_cut_into_bands(
    store: PatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "SHARD_BYTES", 2 * 3 * 512 * 512)
    write_map(store, "m", {"pixels": ARRAYS["pixels"]}, {})
    place = Path(store.storage.root, store.slide_id, "maps", "m")
    shards = [path for path in place.rglob("c/*/*/*") if path.is_file()]
    assert len(shards) == 2  # 600 rows are two rows of tiles
    np.testing.assert_array_equal(zarr.open_group(place, mode="r")["pixels"][:], ARRAYS["pixels"])
    np.testing.assert_array_equal(SlideMap(store, "m").read("pixels"), ARRAYS["pixels"])


@settings(deadline=None)  # the machine may be busy
@given(
    leading=st.lists(st.integers(1, 3), max_size=2),
    last=st.lists(st.integers(1, 1500), min_size=1, max_size=2),
    dtype=st.sampled_from(["u1", "f4"]),
)
def test_boxes_cover_the_array_once(leading: list[int], last: list[int], dtype: str) -> None:
    shape = (*leading, *last)
    layout = MapLayout(shape, dtype)
    assert all(s % c == 0 for s, c in zip(layout.shard, layout.chunk, strict=True))
    covered = sum(
        int(np.prod([part.stop - part.start for part in box]))
        for number in layout.shards
        for box in layout.boxes(number)
        if all(part.stop > part.start for part in box)
    )
    assert covered == int(np.prod(shape))


def test_a_map_without_its_document_does_not_exist(store: PatchStore) -> None:
    write_map(store, "m", {"flat": ARRAYS["flat"]}, {})
    assert map_names(store) == ["m"]
    store.storage.delete(f"{store.slide_id}/maps/m/zarr.json")
    assert map_names(store) == []
    with pytest.raises(StoreError, match="s has no map 'm'; there are: none"):
        SlideMap(store, "m")


def test_the_document_is_written_last(store: PatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    write = store.storage.write
    monkeypatch.setattr(
        store.storage, "write", lambda key, parts: (keys.append(key), write(key, parts))
    )
    write_map(store, "m", {"flat": ARRAYS["flat"], "values": ARRAYS["values"]}, {})
    assert keys[-1] == "s/maps/m/zarr.json"
    assert keys.index("s/maps/m/flat/c/0") < keys.index("s/maps/m/flat/zarr.json")


def test_another_map_of_the_name_is_gone_before_the_new_one_is_written(store: PatchStore) -> None:
    write_map(store, "m", {"old": ARRAYS["flat"]}, {})
    write_map(store, "m", {"new": ARRAYS["flat"]}, {})
    found = SlideMap(store, "m")
    assert found.attributes["arrays"] == ["new"]
    with pytest.raises(StoreError, match="has no array 'old'; there are: new"):
        found.read("old")
    assert not Path(store.storage.root, "s", "maps", "m", "old").exists()


def test_a_damaged_chunk_is_noticed(store: PatchStore) -> None:
    write_map(store, "m", {"flat": ARRAYS["flat"]}, {})
    path = Path(store.storage.root, "s", "maps", "m", "flat", "c", "0")
    data = bytearray(path.read_bytes())
    data[:4] = b"\0\0\0\0"
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match="damaged chunk"):
        SlideMap(store, "m").read("flat")
    path.write_bytes(data[:-1] + b"\1")
    with pytest.raises(CorruptStoreError, match="checksum"):
        SlideMap(store, "m").read("flat")


def test_checksums_are_those_of_the_files(store: PatchStore) -> None:
    from tiling.shard import crc32c

    write_map(store, "m", {"flat": ARRAYS["flat"]}, {})
    known = SlideMap(store, "m").attributes["checksums"]
    assert set(known) == {"flat/c/0", "flat/zarr.json"}
    for key, (size, checksum) in known.items():
        data = Path(store.storage.root, "s", "maps", "m", key).read_bytes()
        assert (len(data), crc32c([data])) == (size, checksum)


@pytest.mark.parametrize("name", ["", "../m", "a b", ".hidden"])
def test_names_that_are_no_names_are_refused(store: PatchStore, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a map"):
        write_map(store, name, {"flat": ARRAYS["flat"]}, {})


def test_a_box_is_read_without_the_rest(store: PatchStore) -> None:
    write_map(store, "m", {"pixels": ARRAYS["pixels"], "values": ARRAYS["values"]}, {})
    found = SlideMap(store, "m")
    box = [slice(1, 2), slice(500, 530), slice(-20, None)]
    np.testing.assert_array_equal(found.read("pixels", box), ARRAYS["pixels"][*box])
    np.testing.assert_array_equal(
        found.read("values", [slice(None), slice(65_000, 66_000)]),
        ARRAYS["values"][:, 65_000:66_000],
    )
    assert found.read("pixels", [slice(0, 0)]).shape == (0, 600, 1030)


def test_a_damaged_document_is_noticed(store: PatchStore) -> None:
    write_map(store, "m", {"flat": ARRAYS["flat"]}, {})
    store.storage.write("s/maps/m/flat/zarr.json", [b'{"shape": [9]}'])
    with pytest.raises(CorruptStoreError, match=r"s/maps/m/flat/zarr\.json is damaged"):
        SlideMap(store, "m").read("flat")
