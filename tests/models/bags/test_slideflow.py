"""slideflow's bags by what its loaders do with them: names, centres, configuration."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.bags.bag import Bag
from models.bags.slideflow import centres
from models.errors import BagError
from tests.models.bags.exporting import assert_round_trip, bring_back, export
from tests.models.bags.planted import ENCODER, PATCH_PX, SLIDES, plant

Open = Callable[..., Bag]
WITH_PATCHES = [name for name in SLIDES if name != "empty"]


@pytest.fixture(scope="module")
def out(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slideflow") / "bags"
    export(planted, "slideflow", folder)
    return folder


def test_every_slide_is_found_by_its_name(out: Path) -> None:
    """Names of slides are file names without what follows the last dot."""
    names = sorted(path.name.rpartition(".")[0] for path in out.iterdir() if path.suffix == ".pt")
    assert names == sorted(WITH_PATCHES)
    assert all((out / f"{name}.index.npz").is_file() for name in names)


@pytest.mark.parametrize("slide_id", WITH_PATCHES)
def test_features_and_centres_are_the_archive_s(out: Path, bag: Open, slide_id: str) -> None:
    known = bag(slide_id)
    tensor = torch.load(out / f"{slide_id}.pt", weights_only=True)
    assert tensor.dtype == torch.float32
    assert np.array_equal(tensor.numpy(), plant(known.store, list(SLIDES).index(slide_id)))
    with np.load(out / f"{slide_id}.index.npz", allow_pickle=False) as file:
        assert file.files == ["arr_0"]
        centre = file["arr_0"]
    assert np.issubdtype(centre.dtype, np.integer)
    corners = centre - np.array(known.level0_patch) / 2
    assert np.abs(corners - known.coords).max() <= 1
    if slide_id == "quarter":
        assert np.array_equal(corners, known.coords)


def test_the_configuration_names_encoder_and_size(out: Path) -> None:
    config = json.loads((out / "bags_config.json").read_text())
    assert set(config) == {"extractor", "normalizer", "num_features", "tile_px", "tile_um"}
    assert set(config["extractor"]) == {"class", "kwargs"}
    assert "." in config["extractor"]["class"]
    assert config["extractor"]["kwargs"]["name"] == ENCODER
    assert (config["num_features"], config["tile_px"]) == (16, PATCH_PX)
    assert config["tile_um"] == pytest.approx(PATCH_PX * 0.5, rel=0.001)


@given(
    corner=st.tuples(st.integers(0, 300_000), st.integers(0, 300_000)),
    side=st.floats(1, 4096),
)
def test_a_corner_is_found_again_from_its_rounded_centre(
    corner: tuple[int, int], side: float
) -> None:
    centre = centres(np.array([corner], np.int32), (side, side))
    assert np.ceil(centre - side / 2 - 1e-6).astype(int)[0].tolist() == list(corner)


def test_what_is_imported_again_is_the_archive(own_archive: Path, tmp_path: Path) -> None:
    assert_round_trip(own_archive, "slideflow", tmp_path / "bags")


def test_corners_instead_of_centres_do_not_fit(own_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "bags"
    export(own_archive, "slideflow", out, slide_ids=["quarter"])
    with np.load(out / "quarter.index.npz") as file:
        corners = file["arr_0"] - 64
    np.savez(out / "quarter.index.npz", arr_0=corners)
    with pytest.raises(BagError, match="rows are of no patch of quarter"):
        bring_back(own_archive, "slideflow", out, "back")


def test_the_other_kind_of_index_is_read(own_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "bags"
    export(own_archive, "slideflow", out, slide_ids=["half.he"])
    with np.load(out / "half.he.index.npz") as file:
        np.save(out / "half.he.index.npy", file["arr_0"])
    (out / "half.he.index.npz").unlink()
    assert bring_back(own_archive, "slideflow", out, "back") == ["half.he"]


def test_a_bag_without_an_index_is_refused(own_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "bags"
    export(own_archive, "slideflow", out, slide_ids=["quarter"])
    (out / "quarter.index.npz").unlink()
    with pytest.raises(BagError, match="cannot be read as the index of quarter"):
        bring_back(own_archive, "slideflow", out, "back")
