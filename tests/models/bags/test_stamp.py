"""STAMP's files by what its loader does with them: keys, units, float16, tables."""

import importlib.util
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from models.bags.bag import Bag
from models.bags.sink import Sink
from models.bags.stamp import extractor, patient_labels
from models.bags.table import SlideFacts
from models.errors import BagError
from tests.models.bags.exporting import bring_back, export
from tests.models.bags.planted import ENCODER, PATCH_PX, SLIDES, bag_of, plant
from tiling.embeddings import Embeddings
from tiling.store import Archive

Open = Callable[..., Bag]
WITH_PATCHES = [name for name in SLIDES if name != "empty"]


@pytest.fixture(scope="module")
def out(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stamp") / "out"
    export(planted, "stamp", folder)
    return folder


def units_of(about: dict[str, Any]) -> tuple[float, float]:
    """Its rules for new files: `tile_size_um` must be there; mpp is that over `tile_size_px`."""
    if "tile_size_um" not in about:
        raise RuntimeError("unable to infer coordinates from feature file")
    side = float(about["tile_size_um"])
    return side, side / int(about["tile_size_px"])


@pytest.mark.parametrize("slide_id", WITH_PATCHES)
def test_microns_give_back_level0_pixels(out: Path, bag: Open, slide_id: str) -> None:
    known = bag(slide_id)
    with h5py.File(out / "features" / f"{slide_id}.h5") as file:
        about, coords = dict(file.attrs), file["coords"][:]
        assert set(file) == {"feats", "coords"}
    side, mpp = units_of(about)
    assert coords.dtype == np.float32
    assert np.abs(coords / np.array(known.mpp0) - known.coords).max() < 0.5
    assert side == pytest.approx(PATCH_PX * 0.5, rel=0.001)
    assert known.mpp_effective is not None
    assert mpp == pytest.approx(known.mpp_effective[0])
    assert (about["unit"], about["feat_type"], about["extractor"]) == ("um", "tile", ENCODER)
    assert about["stamp_version"] == "2.1.0"


@pytest.mark.parametrize("slide_id", WITH_PATCHES)
def test_features_are_rounded_to_half_precision_only(out: Path, bag: Open, slide_id: str) -> None:
    expected = plant(bag(slide_id).store, list(SLIDES).index(slide_id))
    with h5py.File(out / "features" / f"{slide_id}.h5") as file:
        assert file["feats"].dtype == np.float16
        values = torch.from_numpy(file["feats"][:]).float().numpy()
    assert np.array_equal(values, expected.astype(np.float16).astype(np.float32))


def test_all_files_are_of_one_kind(out: Path) -> None:
    kinds = set()
    for path in (out / "features").glob("*.h5"):
        with h5py.File(path) as file:
            kinds.add(file.attrs["feat_type"])
    assert kinds == {"tile"}
    assert not (out / "features" / "empty.h5").exists()


def test_tables_join_slides_to_patients(out: Path) -> None:
    slides = pd.read_csv(out / "slide.csv", dtype=str)
    clini = pd.read_csv(out / "clini.csv", dtype=str).dropna()
    assert all((out / "features" / name).is_file() for name in slides["FILENAME"])
    truth = clini.set_index("PATIENT", verify_integrity=True)["label"].to_dict()
    assert truth == {"hole": "bas", "p1": "lum", "p2": "bas", "p4": "lum"}
    mapping = dict(zip(slides["FILENAME"], slides["PATIENT"], strict=True))
    runs = [patient for patient, _ in groupby(mapping, mapping.__getitem__)]
    assert len(runs) == len(set(runs)), "its reader groups neighbours only"


def facts(name: str, patient: str, label: str) -> SlideFacts:
    return SlideFacts(name, name, patient, "", label, "", 9, 64, (0.5, 0.5), "")


def test_patients_whose_slides_disagree_have_no_label(tmp_path: Path) -> None:
    sink = Sink(tmp_path)
    slides = [facts("a", "p", "x"), facts("b", "p", "y"), facts("c", "q", "x"), facts("d", "r", "")]
    assert patient_labels(slides, sink) == [("q", "x")]
    assert sink.warnings == ["slides of patient p have labels x, y: not in clini.csv"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ctranspath-swin-tiny", "ctranspath"), ("vit-abcdef12", "vit_abcdef12"), ("a-b", "a-b")],
)
def test_names_of_encoders_survive_its_hash_suffix(bag: Open, name: str, expected: str) -> None:
    known = bag("quarter")
    known.card = known.card.model_copy(update={"name": name})
    known.encoder_id = name
    assert extractor(known) == expected


def test_slide_encoders_that_want_256_um_are_warned_of(own_archive: Path, tmp_path: Path) -> None:
    summary = export(own_archive, "stamp", tmp_path / "out", slide_ids=["quarter"])
    assert not summary["warnings"]
    path = own_archive / "quarter" / "embeddings" / ENCODER / "zarr.json"
    text = path.read_text().replace('"planted"', '"hf-hub:MahmoodLab/conchv1_5"')
    path.write_text(text)
    other = export(own_archive, "stamp", tmp_path / "other", slide_ids=["quarter"])
    assert "quarter: tiles of 32 um: the slide encoder for conch1_5 assumes 256 um" in str(
        other["warnings"]
    )


def test_what_is_imported_again_is_the_archive(own_archive: Path, tmp_path: Path) -> None:
    export(own_archive, "stamp", tmp_path / "out")
    for slide_id in bring_back(own_archive, "stamp", tmp_path / "out", "back"):
        store = Archive.open(str(own_archive))[slide_id]
        expected = Embeddings(store, ENCODER).read().astype(np.float16)
        assert np.array_equal(Embeddings(store, "back").read(), expected)


def test_a_file_without_units_is_refused(own_archive: Path, tmp_path: Path) -> None:
    export(own_archive, "stamp", tmp_path / "out", slide_ids=["quarter"])
    with h5py.File(tmp_path / "out" / "features" / "quarter.h5", "a") as file:
        del file.attrs["tile_size_um"]
        with pytest.raises(RuntimeError, match="unable to infer coordinates"):
            units_of(dict(file.attrs))
    with pytest.raises(BagError, match=r"quarter\.h5 does not say tile_size_um"):
        bring_back(own_archive, "stamp", tmp_path / "out", "back")


@pytest.mark.skipif(
    importlib.util.find_spec("stamp") is None or importlib.util.find_spec("stamp.modeling") is None,
    reason="STAMP 2.x is not on the package index; install it from its repository",
)
def test_its_own_loader_reads_our_files(out: Path) -> None:
    from stamp.modeling.data import detect_feature_type, get_coords

    assert detect_feature_type(out / "features") == "tile"
    with h5py.File(out / "features" / "odd.h5") as file:
        assert get_coords(file).mpp == pytest.approx(0.5)


def test_half_precision_can_be_declined(planted: Path, tmp_path: Path) -> None:
    export(planted, "stamp", tmp_path / "out", dtype="float32", slide_ids=["odd"])
    with h5py.File(tmp_path / "out" / "features" / "odd.h5") as file:
        assert np.array_equal(file["feats"][:], plant(bag_of(planted, "odd").store, 2))
