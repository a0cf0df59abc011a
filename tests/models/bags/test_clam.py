"""CLAM's files by what its loader does with them: keys, types, and CSV files read by pandas."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import openslide
import pandas as pd
import pytest
import torch

from models.bags.bag import Bag
from models.errors import BagError
from tests.models.bags.exporting import assert_round_trip, bring_back, export
from tests.models.bags.planted import PATCH_PX, SLIDES, plant
from tiling.embeddings import Embeddings
from tiling.store import Archive

Open = Callable[..., Bag]
WITH_PATCHES = [name for name in SLIDES if name != "empty"]


@pytest.fixture(scope="module")
def out(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clam") / "bags"
    export(planted, "clam", folder)
    return folder


@pytest.mark.parametrize("slide_id", WITH_PATCHES)
def test_tensor_and_h5_hold_the_archive_bit_for_bit(out: Path, bag: Open, slide_id: str) -> None:
    expected = plant(bag(slide_id).store, list(SLIDES).index(slide_id))
    tensor = torch.load(out / "pt_files" / f"{slide_id}.pt", weights_only=True)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.float32
    assert np.array_equal(tensor.numpy(), expected)
    with h5py.File(out / "h5_files" / f"{slide_id}.h5") as file:
        assert set(file) == {"features", "coords"}
        assert np.array_equal(torch.from_numpy(file["features"][:]).numpy(), expected)
        assert file["features"].dtype == np.float32
        assert file["features"].chunks == (32, expected.shape[1])
        assert file["features"].maxshape == (None, expected.shape[1])
        assert file["coords"].dtype == np.int32
        assert np.array_equal(file["coords"][:], bag(slide_id).coords)
        assert not dict(file["features"].attrs)
        assert not dict(file["coords"].attrs)


@pytest.mark.parametrize("slide_id", WITH_PATCHES)
def test_regions_of_its_patch_files_are_our_patches(out: Path, bag: Open, slide_id: str) -> None:
    """`Whole_Slide_Bag_FP` reads (coord, patch_level, (patch_size, patch_size))."""
    known = bag(slide_id)
    with h5py.File(out / "patches" / f"{slide_id}.h5") as file:
        coords, about = file["coords"][:], dict(file["coords"].attrs)
    assert coords.dtype == np.int64
    assert np.array_equal(coords, known.coords)
    names = "patch_size patch_level downsample downsampled_level_dim level_dim name save_path"
    assert set(about) == set(names.split())
    level, side = int(about["patch_level"]), int(about["patch_size"])
    with openslide.OpenSlide(known.attributes["source"]["uri"]) as slide:
        assert slide.level_dimensions[level] == tuple(about["level_dim"])
        covered = side * slide.level_downsamples[level]
        assert abs(covered - known.level0_side) <= 0.5 * slide.level_downsamples[level]
        region = slide.read_region(tuple(coords[0].tolist()), level, (side, side))
        assert region.size == (side, side)
    if slide_id == "quarter":
        assert (level, side) == (1, PATCH_PX)
    if slide_id == "odd":
        assert (level, side) == (0, 138)


def test_the_tables_survive_pandas(out: Path) -> None:
    table = pd.read_csv(out / "dataset.csv")
    labelled = [name for name in WITH_PATCHES if SLIDES[name].label]
    assert table["slide_id"].tolist() == sorted(labelled)
    assert dict(zip(table["slide_id"], table["label"], strict=True))["odd"] == "bas"
    assert dict(zip(table["slide_id"], table["case_id"], strict=True))["half.he"] == "p1"
    splits = pd.read_csv(out / "splits_0.csv", index_col=0)
    found = {name: splits[name].dropna().tolist() for name in ("train", "val", "test")}
    assert found == {"train": ["quarter"], "val": ["half.he"], "test": ["single"]}


def test_slides_that_it_stops_at_are_told(planted: Path, tmp_path: Path) -> None:
    summary = export(planted, "clam", tmp_path / "bags")
    assert summary["empty"] == ["empty"]
    assert summary["fewer_than_8"] == ["single"]
    assert not list((tmp_path / "bags").rglob("empty.*"))
    assert "single: 1 patches, and CLAM's instance loss needs 8" in summary["warnings"]
    assert "slides without a label are not in dataset.csv: bounds" in summary["warnings"]


def test_what_is_imported_again_is_the_archive(own_archive: Path, tmp_path: Path) -> None:
    assert_round_trip(own_archive, "clam", tmp_path / "bags")


def test_tensors_alone_are_imported_by_the_coordinates_of_patches(
    own_archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bags"
    export(own_archive, "clam", out)
    for path in (out / "h5_files").glob("*.h5"):
        path.unlink()
    assert bring_back(own_archive, "clam", out, "back") == sorted(WITH_PATCHES)


def test_its_own_files_of_features_are_imported(own_archive: Path, tmp_path: Path) -> None:
    """As CLAM writes them: one row per chunk, in its own order of patches."""
    store = Archive.open(str(own_archive))["quarter"]
    order = np.random.default_rng(0).permutation(len(store))
    (tmp_path / "h5_files").mkdir()
    with h5py.File(tmp_path / "h5_files" / "quarter.h5", "w") as file:
        file.create_dataset("features", data=plant(store, 0)[order], chunks=(1, 16))
        file.create_dataset("coords", data=store.coords[order])
    bring_back(own_archive, "clam", tmp_path, "back")
    assert np.array_equal(Embeddings(store, "back").read(), plant(store, 0))


def test_a_pickled_array_is_refused(own_archive: Path, tmp_path: Path) -> None:
    """The trap of `.pt` files with NumPy arrays: torch's default refuses them, and so do we."""
    export(own_archive, "clam", tmp_path / "bags", slide_ids=["quarter"])
    (tmp_path / "bags" / "h5_files" / "quarter.h5").unlink()
    path = tmp_path / "bags" / "pt_files" / "quarter.pt"
    torch.save(np.zeros((20, 16), np.float32), path)
    with pytest.raises(BagError, match=r"quarter\.pt is no tensor that can be opened safely"):
        bring_back(own_archive, "clam", tmp_path / "bags", "back")


def test_half_precision_is_refused(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(BagError, match="clam reads float32, not float16"):
        export(planted, "clam", tmp_path / "bags", dtype="float16")


def test_an_empty_folder_has_no_bags(tmp_path: Path, own_archive: Path) -> None:
    with pytest.raises(BagError, match="neither h5_files nor pt_files"):
        bring_back(own_archive, "clam", tmp_path, "back")
