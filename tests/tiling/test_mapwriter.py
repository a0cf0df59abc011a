"""Tissue maps in the archive: what is stored, how a killed run goes on, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from tests.tiling.networks import LEGEND, Pixels, fill, network, plan_over
from tiling.errors import ConflictError, CorruptStoreError, PlanError, StoreError
from tiling.maps import SlideMap, map_names, write_map
from tiling.mapwriter import MapWriter, summarise
from tiling.shard import crc32c
from tiling.store import Archive, PatchStore, slide_document
from tiling.tissuemap import NO_CLASS, ArrayMap, Legend, TissueMap, bands


@pytest.fixture(scope="module")
def tissue(cmu_slide: Path) -> Pixels:
    whole = np.asarray(tifffile.imread(cmu_slide, key=0))
    return np.ascontiguousarray(whole[500:811, 900:1157])


def _store(folder: Path) -> PatchStore:
    archive = Archive.create(str(folder))
    archive.storage.write("s/zarr.json", [slide_document({"slide_id": "s", "n_patches": 0})])
    return archive["s"]


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    return _store(tmp_path / "a.zarr")


def _files(store: PatchStore, name: str) -> dict[str, bytes]:
    folder = Path(store.storage.root, "s", "maps", name)
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_what_is_stored_opens_with_zarr_and_with_us(store: PatchStore, tissue: Pixels) -> None:
    plan = plan_over(*tissue.shape[:2], shard_bytes=100_000)
    writer = MapWriter(store, "m", plan)
    fill(writer, plan.layout.grid, tissue)
    assert map_names(store) == []
    writer.finish()
    assert map_names(store) == ["m"]
    theirs = zarr.open_group(Path(store.storage.root, "s", "maps", "m"), mode="r")
    ours = TissueMap(store, "m")
    whole = network(tissue)
    inside = slice(12, -12), slice(12, -12)
    assert theirs["probabilities"].shape == (3, 311, 257)
    assert theirs["probabilities"].dtype == np.uint8
    near = np.abs(theirs["probabilities"][:] / 255 - whole)[:, *inside]
    assert np.quantile(near, 0.99) < 0.03  # of the network's own padding, next to windows' edges
    assert (theirs["classes"][:] != whole.argmax(axis=0))[inside].mean() < 0.01
    for array in ("probabilities", "classes", "entropy"):
        np.testing.assert_array_equal(ours.read(array), theirs[array][:])
        assert theirs[array].shards is not None
    assert ours.legend == LEGEND
    assert ours.frame == plan.frame
    known = theirs.attrs["microtome"]
    assert known["classes"][0] == {"name": "nuclei", "colour": [200, 0, 0]}
    assert known["mpp"] == [0.5, 0.5]
    assert known["level0_origin"] == [100, 50]
    assert known["level0_step"] == [2, 2]
    assert known["model"] == {"name": "toy"}
    for key, (size, checksum) in known["checksums"].items():
        data = Path(store.storage.root, "s", "maps", "m", key).read_bytes()
        assert (len(data), crc32c([data])) == (size, checksum)
    assert set(known["checksums"]) | {"zarr.json"} == set(_files(store, "m"))


@pytest.mark.parametrize("shard_bytes", [1, 40_000, 1 << 30])
def test_however_it_is_cut_the_map_is_the_same(
    store: PatchStore, tissue: Pixels, shard_bytes: int
) -> None:
    maps = []
    for name, size in (("a", 100_000), ("b", shard_bytes)):
        plan = plan_over(*tissue.shape[:2], shard_bytes=size)
        writer = MapWriter(store, name, plan)
        fill(writer, plan.layout.grid, tissue)
        writer.finish()
        maps.append(TissueMap(store, name))
    for array in ("probabilities", "classes", "entropy"):
        np.testing.assert_array_equal(maps[0].read(array), maps[1].read(array))
        theirs = zarr.open_group(Path(store.storage.root, "s", "maps", "b"), mode="r")
        np.testing.assert_array_equal(theirs[array][:], maps[1].read(array))


def test_any_box_is_read(store: PatchStore, tissue: Pixels) -> None:
    plan = plan_over(*tissue.shape[:2], shard_bytes=40_000)
    writer = MapWriter(store, "m", plan)
    fill(writer, plan.layout.grid, tissue)
    writer.finish()
    found = TissueMap(store, "m")
    whole = found.read("probabilities")
    rng = np.random.default_rng(0)
    for _ in range(20):
        ends = [sorted(rng.integers(0, n + 1, 2).tolist()) for n in whole.shape]
        box = [slice(*pair) for pair in ends]
        np.testing.assert_array_equal(found.read("probabilities", box), whole[*box])
    np.testing.assert_array_equal(
        found.read("classes", [slice(-9, None)]), found.read("classes")[-9:]
    )
    read = np.concatenate(list(bands(found, rows_px=70)))
    np.testing.assert_array_equal(read, found.read("classes"))


# 4 x 4 windows; of 3 x 72 x 72 bytes per cell, shards are 1 x 1 or 1 x 3 cells, or everything
@pytest.mark.parametrize(
    ("shard_bytes", "stopped_after", "rows_kept"),
    [(20_000, 0, 0), (20_000, 3, 0), (20_000, 9, 1), (60_000, 14, 2), (1 << 20, 14, 0)],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, tissue: Pixels, shard_bytes: int, stopped_after: int, rows_kept: int
) -> None:
    plan = plan_over(*tissue.shape[:2], shard_bytes=shard_bytes)
    grid = plan.layout.grid
    whole, stopped = (_store(tmp_path / name) for name in ("whole", "stopped"))
    first = MapWriter(stopped, "m", plan)
    fill(first, grid, tissue, first.todo[:stopped_after])
    assert MapWriter(stopped, "m", plan).todo == list(range(4 * rows_kept, 16))
    for store in (whole, stopped):
        writer = MapWriter(store, "m", plan)
        fill(writer, grid, tissue)
        writer.finish()
    assert _files(whole, "m") == _files(stopped, "m")


KILLED = """
import os, sys
import numpy as np
from tests.tiling.networks import fill, plan_over
from tiling.mapwriter import MapWriter
from tiling.store import Archive

folder, after = sys.argv[1], int(sys.argv[2])
tissue = np.load(sys.argv[3])
plan = plan_over(*tissue.shape[:2], shard_bytes=20_000)
writer = MapWriter(Archive.open(folder)["s"], "m", plan)
fill(writer, plan.layout.grid, tissue, writer.todo[:after])
os.kill(os.getpid(), 9)
"""


def test_a_process_that_was_killed_is_finished_by_the_next(tmp_path: Path, tissue: Pixels) -> None:
    plan = plan_over(*tissue.shape[:2], shard_bytes=20_000)
    np.save(tmp_path / "tissue.npy", tissue)
    stores = [_store(tmp_path / name) for name in ("whole", "killed")]
    command = [sys.executable, "-c", KILLED, stores[1].storage.root, "11"]
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [*command, str(tmp_path / "tissue.npy")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert found.returncode == -9
    assert map_names(stores[1]) == []
    # as a kill in the middle of a write leaves it
    cut_off = Path(stores[1].storage.root, "s/maps/m/classes/c/2/.3.0123abcd.tmp")
    cut_off.parent.mkdir(parents=True, exist_ok=True)
    cut_off.write_bytes(b"half")
    for store in stores:
        writer = MapWriter(store, "m", plan)
        assert (len(writer.todo) < len(plan.layout.grid)) == (store is stores[1])
        fill(writer, plan.layout.grid, tissue)
        writer.finish()
    assert _files(stores[0], "m") == _files(stores[1], "m")


def test_what_is_done_is_not_done_again(store: PatchStore, tissue: Pixels) -> None:
    plan = plan_over(*tissue.shape[:2])
    writer = MapWriter(store, "m", plan)
    fill(writer, plan.layout.grid, tissue)
    writer.finish()
    before = _files(store, "m")
    again = MapWriter(store, "m", plan)
    assert again.is_done
    assert again.todo == []
    again.finish()
    assert _files(store, "m") == before


def test_another_map_is_replaced_only_when_asked(store: PatchStore, tissue: Pixels) -> None:
    plan, other = (plan_over(*tissue.shape[:2], model={"name": name}) for name in "ab")
    writer = MapWriter(store, "m", plan)
    fill(writer, plan.layout.grid, tissue, writer.todo[:5])
    with pytest.raises(ConflictError, match="half written by a run with other settings"):
        MapWriter(store, "m", other)
    fill(writer, plan.layout.grid, tissue)
    writer.finish()
    with pytest.raises(ConflictError, match="s has another map 'm'; choose another name"):
        MapWriter(store, "m", other)
    replaced = MapWriter(store, "m", other, overwrite=True)
    assert map_names(store) == []
    fill(replaced, other.layout.grid, tissue)
    replaced.finish()
    assert SlideMap(store, "m").attributes["model"] == {"name": "b"}


def test_only_tissue_is_mapped(store: PatchStore, tissue: Pixels) -> None:
    mask = np.zeros((31, 25), bool)
    mask[3:9, 4:12] = True
    plan = plan_over(*tissue.shape[:2], mask=mask)
    grid = plan.layout.grid
    writer = MapWriter(store, "m", plan)
    assert 0 < len(writer.todo) < len(grid)
    fill(writer, grid, tissue)
    writer.finish()
    found = TissueMap(store, "m")
    rows = np.floor((np.arange(311) + 0.5) * 31 / 311).astype(int)
    columns = np.floor((np.arange(257) + 0.5) * 25 / 257).astype(int)
    spread = mask[np.ix_(rows, columns)]
    np.testing.assert_array_equal(found.read("classes") != NO_CLASS, spread)
    assert not found.read("probabilities")[:, ~spread].any()
    assert not found.read("entropy")[~spread].any()


def test_a_slide_without_tissue_has_an_empty_map(store: PatchStore) -> None:
    plan = plan_over(311, 257, mask=np.zeros((5, 4), bool))
    writer = MapWriter(store, "m", plan)
    assert writer.todo == []
    writer.finish()
    found = TissueMap(store, "m")
    assert (found.read("classes") == NO_CLASS).all()
    assert not found.read("probabilities").any()


def test_entropy_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(4, 0.5), (6, 7)).transpose(2, 0, 1).astype(np.float32)
    shares[:, 0, 0], shares[:, 0, 1], shares[:, 0, 2] = 0.25, [1, 0, 0, 0], 0
    found = summarise(shares)
    positive = np.where(shares > 0, shares, 1)
    expected = -(shares * np.log(positive)).sum(axis=0) / np.log(4) * 255
    np.testing.assert_allclose(found["entropy"][0], expected, atol=0.51)
    assert found["entropy"][0, 0, :3].tolist() == [255, 0, 0]
    assert found["classes"][0, 0, :3].tolist() == [0, 0, NO_CLASS]
    classes = found["classes"][0].copy()
    classes[0, :3] = shares.argmax(axis=0)[0, :3]
    np.testing.assert_array_equal(classes, shares.argmax(axis=0))
    np.testing.assert_allclose(found["probabilities"], shares * 255, atol=0.51)


def test_a_map_of_one_class_is_sure() -> None:
    found = summarise(np.full((1, 3, 3), 0.4, np.float32))
    assert not found["entropy"].any()
    assert not found["classes"].any()


def test_attention_is_no_tissue_map(store: PatchStore) -> None:
    write_map(store, "m", {"pixels": np.zeros((1, 4, 4), np.uint8)}, {"kind": "attention"})
    with pytest.raises(StoreError, match="'m' is no tissue map, its kind is 'attention'"):
        TissueMap(store, "m")


def test_a_damaged_map_is_noticed(store: PatchStore, tissue: Pixels) -> None:
    plan = plan_over(*tissue.shape[:2])
    writer = MapWriter(store, "m", plan)
    fill(writer, plan.layout.grid, tissue)
    writer.finish()
    path = Path(store.storage.root, "s", "maps", "m", "classes", "c", "0", "0")
    path.write_bytes(b"\0\0\0\0" + path.read_bytes()[4:])
    with pytest.raises(CorruptStoreError, match="damaged chunk"):
        TissueMap(store, "m").read("classes")


@pytest.mark.parametrize(
    ("names", "colours", "sentence"),
    [
        ((), (), "1 to 254 classes, got 0"),
        (("a", "a"), ((0, 0, 0), (1, 1, 1)), "different names, got 'a', 'a'"),
        (("a", "b"), ((0, 0, 0),), "2 classes need a colour each"),
        (("a",), ((0, 0, 256),), "red, green, blue from 0 to 255"),
    ],
)
def test_legends_that_make_no_sense_are_refused(
    names: tuple[str, ...], colours: tuple[tuple[int, int, int], ...], sentence: str
) -> None:
    with pytest.raises(PlanError, match=sentence):
        Legend(names, colours)


def test_parts_of_a_plan_must_fit() -> None:
    plan = plan_over(50, 60)
    with pytest.raises(PlanError, match="windows are those of another map"):
        type(plan)(LEGEND, plan_over(50, 61).frame, plan.layout, {})
    with pytest.raises(PlanError, match="3 classes are not those named: a"):
        type(plan)(Legend(("a",), ((0, 0, 0),)), plan.frame, plan.layout, {})


def test_arrays_must_fit_their_frame() -> None:
    frame = plan_over(5, 6).frame
    blank = np.zeros((5, 6), np.uint8)
    with pytest.raises(PlanError, match=r"a map of \(5, 6\) has an array \(6, 5\)"):
        ArrayMap(LEGEND, frame, blank, blank.T)
    with pytest.raises(PlanError, match="class 7 has no name; there are 3"):
        ArrayMap(LEGEND, frame, blank + 7, blank)


MEMORY = """
import resource, sys
import numpy as np
from tests.tiling.networks import plan_over
from tiling.mapwriter import MapWriter
from tiling.store import Archive
from tiling.tissuemap import TissueMap, bands

store = Archive.open(sys.argv[1])["s"]
window = np.full((3, 256, 256), 85, np.uint8)

def write(name, width):
    plan = plan_over(500, width, 256, 64)
    writer = MapWriter(store, name, plan)
    for i in writer.todo:
        writer.add(i, window)
    writer.finish()
    return sum(band.size for band in bands(TissueMap(store, name)))

write("small", 500)  # what is imported, and is no part of a map
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert write("large", 100_000) == 50_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_bounded_for_a_slide_of_100_000_px(store: PatchStore) -> None:
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", MEMORY, store.storage.root],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
    )
    # lower margins of a row of windows: 521 * 3 * 64 * 256 bytes are 25 MB; a band of classes is
    # 8 MB. The map as floats would be 600 MB, and stored 250 MB
    assert int(found.stdout) < 100_000  # KiB
