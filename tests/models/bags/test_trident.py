"""TRIDENT's files by what its readers do with them: attributes, Python types, arithmetic."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from models.bags.bag import Bag
from models.bags.magnification import level0_magnification, nominal_magnification
from models.errors import BagError
from tests.models.bags.exporting import assert_round_trip, bring_back, export
from tests.models.bags.planted import ENCODER, PATCH_PX, SLIDES, bag_of, plant
from tiling.store import Archive

Open = Callable[..., Bag]
FOOTPRINT = (
    "patch_size patch_size_level0 level0_magnification target_magnification overlap name savetodir "
    "level0_width level0_height"
)
RUN = "20x_64px_0px_overlap"


@pytest.fixture(scope="module")
def out(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trident") / "job"
    export(planted, "trident", folder)
    return folder


def run_of(slide_id: str) -> str:
    return "20x_64px_32px_overlap" if slide_id == "odd" else RUN


def read_coords(path: Path) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """What its `read_coords` gives: attributes of `coords` as they come, and the array."""
    with h5py.File(path) as file:
        return dict(file["coords"].attrs), file["coords"][:]


@pytest.mark.parametrize("slide_id", SLIDES)
def test_both_files_give_coordinates_and_the_footprint(out: Path, bag: Open, slide_id: str) -> None:
    known, run = bag(slide_id), out / run_of(slide_id)
    patches = read_coords(run / "patches" / f"{slide_id}_patches.h5")
    features = read_coords(run / f"features_{ENCODER}" / f"{slide_id}.h5")
    for about, coords in (patches, features):
        assert set(about) == set(FOOTPRINT.split())
        assert coords.dtype == np.int64
        assert np.array_equal(coords, known.coords)
        side = round(known.level0_side)
        assert int(about["patch_size_level0"]) == side
        source, target = about["level0_magnification"], about["target_magnification"]
        assert about["patch_size"] * source // target == side
        assert isinstance(about["name"], str)
        assert np.issubdtype(type(about["patch_size"]), np.integer)
        assert np.issubdtype(type(source), np.floating)
        assert (about["level0_width"], about["level0_height"]) == SLIDES[slide_id].size


@pytest.mark.parametrize("slide_id", SLIDES)
def test_feature_files_hold_the_archive(out: Path, bag: Open, slide_id: str) -> None:
    expected = plant(bag(slide_id).store, list(SLIDES).index(slide_id))
    with h5py.File(out / run_of(slide_id) / f"features_{ENCODER}" / f"{slide_id}.h5") as file:
        assert np.array_equal(file["features"][:], expected)
        assert file["features"].dtype == np.float32
        assert dict(file["features"].attrs)["encoder"] == ENCODER
        assert file["features"].chunks[0] >= 32
        assert file["coords"].maxshape == (None, 2)


def test_the_folder_s_name_parses_back(out: Path) -> None:
    names = sorted(path.name for path in out.iterdir() if path.is_dir())
    parsed = [re.fullmatch(r"(.+)x_(\d+)px_(\d+)px_overlap", name) for name in names]
    assert [match.groups() if match else None for match in parsed] == [
        ("20", "64", "0"),
        ("20", "64", "32"),
    ]


@pytest.mark.parametrize("mpp0", [0.2325, 0.25, 0.5, 0.55])
@pytest.mark.parametrize("patch_px", [224, 256])
@pytest.mark.parametrize("target", [40.0, 20.0, 10.0, 5.0, 20.04])
def test_its_floor_gives_our_rounded_side(mpp0: float, patch_px: int, target: float) -> None:
    side = round(patch_px * 10 / target / mpp0)
    source = level0_magnification(patch_px, side, target)
    assert patch_px * source // target == side
    assert source / target == pytest.approx(side / patch_px, rel=1e-12)


def test_the_floor_would_fall_short_without_care() -> None:
    """P 224, 5x, P0 184: the plain quotient gives 183."""
    assert 224 * (5.0 * 184 / 224) // 5.0 == 183
    assert 224 * level0_magnification(224, 184, 5.0) // 5.0 == 184


@pytest.mark.parametrize(
    ("asked", "effective", "expected"),
    [
        pytest.param(0.5, 0.4990, 20.0, id="asked-for"),
        pytest.param(None, 0.2525, 40.0, id="near-the-usual"),
        pytest.param(None, 0.7, 14.29, id="its-own"),
    ],
)
def test_magnifications_have_one_name(
    own_archive: Path, asked: float | None, effective: float, expected: float
) -> None:
    found = bag_of(own_archive, "half.he")
    found.attributes.update(mpp_requested=asked, mpp_effective=[effective] * 2)
    assert nominal_magnification(found) == expected


def test_rounding_of_the_footprint_is_recorded(out: Path) -> None:
    summary = json.loads((out / "microtome.json").read_text())
    rounding = {s["facts"]["slide_id"]: s["about"]["level0_rounding"] for s in summary["slides"]}
    exact = PATCH_PX * 0.5 / 0.2325
    assert rounding["odd"] == pytest.approx(abs(exact - round(exact)))
    assert rounding["quarter"] == 0


def test_slides_without_resolution_fail(own_archive: Path, tmp_path: Path) -> None:
    path = own_archive / "quarter" / "zarr.json"
    document = json.loads(path.read_text())
    document["attributes"]["microtome"] |= {"mpp": {"x": None, "y": None, "origin": ""}}
    path.write_text(json.dumps(document))
    with pytest.raises(BagError, match="quarter has no microns per pixel, which TRIDENT"):
        export(own_archive, "trident", tmp_path / "job")


def test_what_is_imported_again_is_the_archive(own_archive: Path, tmp_path: Path) -> None:
    assert_round_trip(own_archive, "trident", tmp_path / "job")


def test_its_own_feature_files_are_imported(own_archive: Path, tmp_path: Path) -> None:
    store = Archive.open(str(own_archive))["hole"]
    folder = tmp_path / "20x_64px_0px_overlap" / "features_uni_v1"
    folder.mkdir(parents=True)
    with h5py.File(folder / "hole.h5", "w") as file:
        file.create_dataset("features", data=plant(store, 4), chunks=(1, 16))
        file.create_dataset("coords", data=store.coords.astype(np.int64), chunks=(1, 2))
    assert bring_back(own_archive, "trident", tmp_path, "uni") == ["hole"]


def test_features_of_two_encoders_are_not_mixed(own_archive: Path, tmp_path: Path) -> None:
    export(own_archive, "trident", tmp_path / "job", slide_ids=["quarter"])
    (tmp_path / "job" / RUN / "features_other").mkdir()
    (tmp_path / "job" / RUN / "features_other" / "quarter.h5").write_bytes(b"")
    with pytest.raises(BagError, match="features of several encoders: features_other, features_pl"):
        bring_back(own_archive, "trident", tmp_path / "job", "back")


def test_patches_of_another_cut_do_not_fit(own_archive: Path, tmp_path: Path) -> None:
    export(own_archive, "trident", tmp_path / "job", slide_ids=["quarter"])
    with h5py.File(tmp_path / "job" / RUN / f"features_{ENCODER}" / "quarter.h5", "a") as file:
        file["coords"][4] += 5
    with pytest.raises(BagError, match=r"1 of 20 rows are of no patch of quarter, the first at"):
        bring_back(own_archive, "trident", tmp_path / "job", "back")
