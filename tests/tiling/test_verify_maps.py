"""Damage to maps and to arrays that were added later is found, and what is whole is not accused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.tiling.networks import fill, plan_over
from tiling import zarrjson
from tiling.labels import Labels, add_array, partition_array
from tiling.maps import map_document, write_map
from tiling.mapwriter import MapWriter
from tiling.shard import crc32c, shard_parts
from tiling.store import PatchStore
from tiling.verify import Problem, verify_store

MAPS = ("attention", "tissue")
SIDE = 200
"""Of the tissue map; its shards are bands of about a third of that."""


@pytest.fixture
def mapped(store: PatchStore, cmu_slide: Path) -> PatchStore:
    """The made slide with a tissue map of several shards, and attention."""
    pixels = np.asarray(tifffile.imread(cmu_slide, key=0))[500 : 500 + SIDE, 900 : 900 + SIDE]
    writer = MapWriter(store, "tissue", _plan())
    fill(writer, _plan().layout.grid, np.ascontiguousarray(pixels))
    writer.finish()
    values = np.linspace(0, 1, len(store), dtype=np.float32)[None]
    arrays = {"pixels": np.ones((1, 7, 8), np.uint8), "patches": values}
    write_map(store, "attention", arrays, {"kind": "attention", "channels": ["tumour"]})
    return store


def _plan() -> Any:
    return plan_over(SIDE, SIDE, shard_bytes=60_000)


def folder(store: PatchStore) -> Path:
    return Path(store.storage.root, store.slide_id)


def files(store: PatchStore, name: str) -> list[Path]:
    return sorted(path for path in (folder(store) / name).rglob("*") if path.is_file())


def rewritten(store: PatchStore, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a map's attributes and seal them again, so that only their content is wrong."""
    path = folder(store) / "maps" / name / "zarr.json"
    known = json.loads(path.read_text())["attributes"]["microtome"]
    change(known)
    path.write_bytes(map_document(known))


def sealed_object(store: PatchStore, name: str, key: str, data: bytes) -> None:
    """Replace an object of a map and make its checksum fit."""
    (folder(store) / "maps" / name / key).write_bytes(data)
    rewritten(
        store, name, lambda known: known["checksums"].update({key: [len(data), crc32c([data])]})
    )


def test_what_is_whole_has_no_problems(mapped: PatchStore) -> None:
    shards = [path for path in files(mapped, "maps/tissue/probabilities") if path.name.isdigit()]
    assert len(shards) > 1
    assert verify_store(mapped) == []


@pytest.mark.parametrize("name", MAPS)
def test_every_changed_byte_of_a_map_is_found(mapped: PatchStore, name: str) -> None:
    rng = np.random.default_rng(0)
    paths = files(mapped, f"maps/{name}")
    assert len(paths) >= 5
    for path in paths:
        data = path.read_bytes()
        for at in rng.integers(0, len(data), 3):
            damaged = bytearray(data)
            damaged[at] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            problems = verify_store(mapped)
            assert problems, f"byte {at} of {path} was changed unnoticed"
            assert all(problem.key in str(path) for problem in problems)
            assert {problem.slide_id for problem in problems} == {"slide"}
        path.write_bytes(data)
    assert verify_store(mapped) == []


@pytest.mark.parametrize("how", ["cut", "empty", "longer", "missing"])
def test_every_file_of_a_map_that_is_not_whole_is_found(mapped: PatchStore, how: str) -> None:
    change: dict[str, Callable[[bytes], bytes]] = {
        "cut": lambda data: data[:-1],
        "empty": lambda _: b"",
        "longer": lambda data: data + b"\0",
    }
    words = {"missing": "cannot be read", "cut": "were written", "longer": "were written"}
    for path in [one for name in MAPS for one in files(mapped, f"maps/{name}")]:
        group = path.parent.parent == folder(mapped) / "maps"
        if group and how == "missing":
            continue  # then there is no map; see below
        data = path.read_bytes()
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes(change[how](data))
        (problem,) = verify_store(mapped)
        assert problem.key in str(path)
        assert group or words.get(how, "bytes") in problem.sentence
        path.write_bytes(data)


def test_a_map_that_is_being_written_is_no_damage(mapped: PatchStore, store: PatchStore) -> None:
    (folder(mapped) / "maps" / "tissue" / "zarr.json").unlink()
    shard = folder(mapped) / "maps" / "tissue" / "classes" / "c" / "0" / "0"
    shard.write_bytes(b"half of it")
    writer = MapWriter(store, "begun", _plan())
    writer.add(0, np.full((3, 96, 96), 1 / 3, np.float32))
    assert verify_store(mapped) == []


def test_a_lost_group_of_maps_is_found(mapped: PatchStore) -> None:
    (folder(mapped) / "maps" / "zarr.json").unlink()
    (problem,) = verify_store(mapped)
    assert (problem.key, problem.sentence.partition(":")[0]) == ("maps/zarr.json", "is missing")


@pytest.mark.parametrize(
    ("old", "new"), [('"kind": "attention"', '"kind": "detention"'), ('"tumour"', '"humour"')]
)
def test_a_changed_attribute_is_found(mapped: PatchStore, old: str, new: str) -> None:
    path = folder(mapped) / "maps" / "attention" / "zarr.json"
    path.write_text(path.read_text().replace(old, new))
    (problem,) = verify_store(mapped)
    assert (problem.key, problem.sentence) == (
        "maps/attention/zarr.json",
        "is not what was written",
    )


def test_maps_without_a_seal_are_read_as_before(mapped: PatchStore) -> None:
    path = folder(mapped) / "maps" / "attention" / "zarr.json"
    known = json.loads(path.read_text())["attributes"]["microtome"]
    del known["checksum"]
    path.write_bytes(zarrjson.group_document({"microtome": known}))
    assert verify_store(mapped) == []
    path.write_bytes(path.read_bytes() + b"\n")
    assert [problem.sentence for problem in verify_store(mapped)] == ["is not what was written"]


# What is wrong although every checksum fits.


def found(store: PatchStore) -> list[tuple[str, str]]:
    return [(problem.key, problem.sentence) for problem in verify_store(store)]


def test_a_chunk_that_does_not_decode_is_found(mapped: PatchStore) -> None:
    data = b"".join(shard_parts([b"no zstd at all"], 1))
    sealed_object(mapped, "attention", "pixels/c/0/0/0", data)
    ((key, sentence),) = found(mapped)
    assert key == "maps/attention/pixels/c/0/0/0"
    assert "holds a damaged chunk" in sentence


def test_a_missing_chunk_is_found(mapped: PatchStore) -> None:
    sealed_object(mapped, "attention", "pixels/c/0/0/0", b"".join(shard_parts([], 1)))
    ((key, sentence),) = found(mapped)
    assert key == "maps/attention/pixels/c/0/0/0"
    assert "lacks a chunk" in sentence


def test_a_shard_without_a_checksum_is_found(mapped: PatchStore) -> None:
    rewritten(mapped, "attention", lambda known: known["checksums"].pop("patches/c/0/0"))
    key = "maps/attention/patches/c/0/0"
    assert found(mapped) == [(key, "nobody wrote down its checksum")]


def test_arrays_of_another_shape_are_found(mapped: PatchStore) -> None:
    arrays = {"pixels": np.ones((1, 7, 8), np.uint8), "patches": np.ones((1, 55), np.float32)}
    write_map(mapped, "attention", arrays, {"kind": "attention", "channels": ["tumour"]})
    key = "maps/attention/patches/zarr.json"
    assert found(mapped) == [(key, "has the shape (1, 55), not (any, 56)")]
    rewritten(mapped, "tissue", lambda known: known["shape"].__setitem__(0, 100))
    wrong = [sentence for key, sentence in found(mapped) if key.startswith("maps/tissue")]
    assert sorted(wrong) == [
        "has the shape (200, 200), not (100, 200)",
        "has the shape (200, 200), not (100, 200)",
        "has the shape (3, 200, 200), not (3, 100, 200)",
    ]


def test_a_tissue_map_without_one_of_its_arrays_is_found(mapped: PatchStore) -> None:
    rewritten(mapped, "tissue", lambda known: known["arrays"].remove("entropy"))
    assert found(mapped) == [("maps/tissue/zarr.json", "names no array 'entropy'")]


def test_attributes_that_make_no_map_are_found(mapped: PatchStore) -> None:
    rewritten(mapped, "tissue", lambda known: known.pop("level0_step"))
    ((key, sentence),) = found(mapped)
    assert key == "maps/tissue/zarr.json"
    assert "is damaged" in sentence


# Arrays beside the patches.


@pytest.fixture
def labelled(store: PatchStore) -> PatchStore:
    """The made slide with labels and a partition, added later."""
    values = (np.arange(len(store)) % 2).astype(np.int32)
    labels = Labels(values, ("benign", "tumour"), "classes")
    add_array(store.storage, store.slide_id, "labels", labels.array())
    parts = partition_array(np.arange(len(store)) // 20)
    add_array(store.storage, store.slide_id, "partition", parts)
    return store


def test_added_arrays_that_are_whole_have_no_problems(labelled: PatchStore) -> None:
    assert verify_store(labelled) == []
    (folder(labelled) / "labels" / "zarr.json").unlink()
    (folder(labelled) / "labels" / "c" / "0").write_bytes(b"half")
    assert verify_store(labelled) == []  # it is being replaced


@pytest.mark.parametrize("name", ["labels", "partition"])
def test_added_arrays_that_are_not_whole_are_found(labelled: PatchStore, name: str) -> None:
    for path in files(labelled, name):
        data = path.read_bytes()
        for damaged in (data[: len(data) // 2], b"", b"\xff" + data[1:]):
            path.write_bytes(damaged)
            (problem,) = verify_store(labelled)
            assert problem.key.partition("/")[0] == name
        path.write_bytes(data)
    assert verify_store(labelled) == []


def test_an_added_array_of_another_slide_is_found(labelled: PatchStore) -> None:
    labels = Labels(np.zeros(7, np.int32), ("benign",), "classes")
    add_array(labelled.storage, labelled.slide_id, "labels", labels.array())
    (problem,) = verify_store(labelled)
    assert problem == Problem("slide", "labels/zarr.json", "has 7 entries for 56 patches")
