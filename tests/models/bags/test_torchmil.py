"""torchmil's folders, through its own loader in two versions, and read back by us."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from models.bags import torchmil, torchmil_h5
from models.bags.bag import Bag
from models.bags.npy import write_npy
from models.bags.sink import Sink
from models.bags.torchmil import number_labels
from models.errors import BagError
from tests.models.bags import torchmil_loader
from tests.models.bags.exporting import assert_round_trip, contents, export
from tests.models.bags.planted import HALF_ENCODER, SLIDES, bag_of

Open = Callable[..., Bag]
Arrays = dict[str, np.ndarray[Any, Any]]

VERSIONS = ("1.0.1", "1.0.2")
MODULES = {".npy": torchmil, ".h5": torchmil_h5}
FORMATS = {".npy": "torchmil", ".h5": "torchmil-h5"}
LABELLED = ["quarter", "half.he", "odd", "hole", "single"]
NUMBERS = {"bas": 0, "lum": 1}
PATCH_LABELS = np.arange(34) % 3 - 1
"""Class of each patch of the slide with a hole; -1 is unknown."""


def packages_of(version: str) -> list[str]:
    """Folders that Python must look into first for this version of torchmil."""
    if metadata.version("torchmil") == version:
        return []
    folder = Path(sys.prefix, "consumers", f"torchmil-{version}")
    if not folder.is_dir():
        pytest.skip(f"torchmil {version}: pip install --no-deps --target {folder} it, as make does")
    return [str(folder)]


@pytest.fixture(scope="module")
def labelled(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted archive, with labels of the patches of one slide."""
    copy = Path(shutil.copytree(planted, tmp_path_factory.mktemp("labelled") / "a.zarr"))
    described = {"microtome": {"names": ["tumour", "stroma"], "kind": "classes"}}
    values = PATCH_LABELS.astype(np.int32)
    group = zarr.open_group(copy / "hole", mode="r+")
    group.create_array("labels", data=values, chunks=values.shape, attributes=described)
    return copy


@pytest.fixture(scope="module")
def roots(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An export per extension, and coordinates in pixels for the negative case."""
    folder = tmp_path_factory.mktemp("torchmil")
    made = {extension: folder / name for extension, name in FORMATS.items()}
    for extension, name in FORMATS.items():
        export(labelled, name, made[extension])
    pixels = made[".npy"] / "pixels"
    pixels.mkdir()
    np.save(pixels / "hole.npy", bag_of(labelled, "hole").coords)
    return made


@pytest.fixture(scope="module", params=VERSIONS)
def loaded(
    request: pytest.FixtureRequest, roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Arrays:
    """What one version of torchmil loads of both exports."""
    target = tmp_path_factory.mktemp("loaded") / "arrays.npz"
    path = os.pathsep.join(packages_of(request.param))
    script = [sys.executable, torchmil_loader.__file__, target, *roots.values(), *LABELLED]
    environment = os.environ | ({"PYTHONPATH": path} if path else {})
    subprocess.run(script, env=environment, check=True)
    with np.load(target) as found:
        assert found["version"] == request.param
        return dict(found)


@pytest.mark.parametrize("extension", FORMATS)
def test_the_loader_gives_features_labels_and_grid_indices(
    loaded: Arrays, bag: Open, extension: str
) -> None:
    for name in LABELLED:
        features = loaded[f"{extension}/{name}/X"]
        assert np.array_equal(features, bag(name).read())
        assert features.dtype == np.float32
        assert np.array_equal(loaded[f"{extension}/{name}/coords"], features[:, [2, 1]])
        assert loaded[f"{extension}/{name}/Y"].tolist() == [NUMBERS[SLIDES[name].label]]


@pytest.mark.parametrize("extension", FORMATS)
def test_neighbours_are_those_counted_by_hand(loaded: Arrays, extension: str) -> None:
    first, second = loaded[f"{extension}/hole/edges"]
    # 6 x 6 patches: 30 pairs across, 30 down, 50 diagonal; two adjacent inner ones are missing,
    # which had 8 neighbours each and were one another's: 110 - 15 pairs
    assert len(first) == 2 * (110 - 15)
    cells = {tuple(cell): row for row, cell in enumerate(loaded[f"{extension}/hole/coords"])}
    counts = np.bincount(first, minlength=34)
    assert counts[cells[(0, 0)]] == 3
    assert counts[cells[(0, 3)]] == 5
    assert counts[cells[(2, 1)]] == 6  # above the hole: below it and one diagonal are missing
    assert counts[cells[(1, 2)]] == 7  # beside the hole
    assert counts[cells[(4, 4)]] == 8
    assert not set(zip(first, second, strict=True)) ^ set(zip(second, first, strict=True))


@pytest.mark.parametrize("name", ["quarter", "odd"])
def test_strides_count_not_pixels(loaded: Arrays, name: str) -> None:
    # a fine level of other mpp, and patches that overlap by half: still 8 neighbours at most
    cells = loaded[f".npy/{name}/coords"]
    columns, rows = cells.max(axis=0) + 1
    pairs = (columns - 1) * rows + columns * (rows - 1) + 2 * (columns - 1) * (rows - 1)
    assert len(cells) == columns * rows
    assert loaded[f".npy/{name}/edges"].shape[1] == 2 * pairs


def test_one_patch_has_only_itself(loaded: Arrays) -> None:
    assert loaded[".npy/single/edges"].tolist() == [[0], [0]]
    assert loaded[".npy/single/weights"].tolist() == [1]


def test_pixel_coordinates_would_give_a_graph_without_edges(loaded: Arrays) -> None:
    assert loaded["pixels/edges"].shape == (2, 0)


@pytest.mark.parametrize("extension", FORMATS)
def test_collate_masks_the_padding(loaded: Arrays, bag: Open, extension: str) -> None:
    mask, features = loaded[f"{extension}/batch/mask"], loaded[f"{extension}/batch/X"]
    assert mask.sum(axis=1).tolist() == [34, 1]
    assert np.array_equal(features[mask == 1], np.vstack([bag("hole").read(), features[1, :1]]))
    assert np.array_equal(features[1, :1], bag("single").read())
    assert not features[1, 1:].any()
    assert loaded[f"{extension}/batch/Y"].tolist() == [[0], [1]]
    assert loaded[f"{extension}/batch/adj"].shape == (2, 34, 34)


def test_patch_labels_are_read(loaded: Arrays) -> None:
    assert np.array_equal(loaded[".npy/hole/y_inst"], PATCH_LABELS)
    if loaded["version"] != "1.0.1":
        assert np.array_equal(loaded[".h5/hole/y_inst"], PATCH_LABELS)


@pytest.mark.parametrize("extension", FORMATS)
def test_our_reader_gives_back_what_was_planted(
    roots: dict[str, Path], bag: Open, extension: str
) -> None:
    found = {one.name: one for one in MODULES[extension].read(roots[extension])}
    assert sorted(found) == sorted(set(SLIDES) - {"empty"})
    for name, foreign in found.items():
        values = bag(name).read()
        every = np.arange(len(values))
        assert foreign.frame == "grid"
        assert np.array_equal(foreign.positions, values[:, [2, 1]])
        assert np.array_equal(foreign.take(every), values)
        assert np.array_equal(foreign.take(every[1::3]), values[1::3])
        assert (foreign.dim, foreign.dtype) == (16, np.float32)


@pytest.mark.parametrize("name", FORMATS.values())
def test_an_export_comes_back_into_the_archive(
    own_archive: Path, tmp_path: Path, name: str
) -> None:
    assert_round_trip(own_archive, name, tmp_path / "out")


def test_an_empty_slide_has_no_file_and_labels_are_named(labelled: Path, tmp_path: Path) -> None:
    summary = export(labelled, "torchmil", tmp_path / "out")
    assert summary["empty"] == ["empty"]
    assert not list((tmp_path / "out").rglob("empty.npy"))
    assert json.loads((tmp_path / "out" / "classes.json").read_text()) == NUMBERS
    assert not (tmp_path / "out" / "labels" / "bounds.npy").exists()
    assert [line.split(";")[0] for line in summary["warnings"] if "slides have no" in line] == [
        "1 of 6 slides have no label, such as bounds",
        "5 of 6 slides have no patch labels, such as bounds",
    ]


@pytest.mark.parametrize("name", FORMATS.values())
def test_the_same_export_twice_is_the_same_bytes(labelled: Path, tmp_path: Path, name: str) -> None:
    for folder in ("one", "other"):
        export(labelled, name, tmp_path / folder)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_float16_is_written_when_asked_for(planted: Path, tmp_path: Path) -> None:
    export(planted, "torchmil", tmp_path / "out", encoder=HALF_ENCODER, dtype="float16")
    found = np.load(tmp_path / "out" / "features" / "odd.npy")
    assert found.dtype == np.float16
    assert np.array_equal(found, bag_of(planted, "odd", HALF_ENCODER).read())


def test_labels_that_are_numbers_stay_as_they_are() -> None:
    assert number_labels(["10", "2", "", "2"]) == {"2": 2, "10": 10}
    assert number_labels(["1", "b", "a"]) == {"1": 0, "a": 1, "b": 2}
    assert number_labels(["", ""]) == {}


def test_npy_is_what_numpy_writes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    np.save(tmp_path / "theirs.npy", values)
    blocks = (values[i : i + 8] for i in range(0, 50, 8))
    sink = Sink(tmp_path)
    with sink.stream("ours.npy") as file:
        write_npy(file, blocks, (50, 7), np.dtype(np.float32))
    expected = (tmp_path / "theirs.npy").read_bytes()
    assert (tmp_path / "ours.npy").read_bytes() == expected
    assert sink.files == {"ours.npy": [len(expected), hashlib.sha256(expected).hexdigest()]}


def test_a_file_that_fails_half_way_is_not_seen(tmp_path: Path) -> None:
    short = (np.zeros((n, 2), np.float32) for n in (20, 29))
    with (
        pytest.raises(BagError, match="an array was to have 50 rows, and 49 came"),
        Sink(tmp_path).stream("x.npy") as file,
    ):
        write_npy(file, short, (50, 2), np.dtype(np.float32))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_bag_is_refused(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"holds no features/\*\.npy"):
        torchmil.read(tmp_path)
    export(planted, "torchmil", tmp_path / "out")
    features = tmp_path / "out" / "features" / "odd.npy"
    np.save(features, np.zeros((3, 2)))
    with pytest.raises(BagError, match=r"features \(3, 2\) and .* coordinates \(72, 2\)"):
        list(torchmil.read(tmp_path / "out"))
    np.save(features, np.array([{}], object), allow_pickle=True)
    with pytest.raises(BagError, match="no array that can be opened safely"):
        list(torchmil.read(tmp_path / "out"))
