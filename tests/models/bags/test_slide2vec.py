"""slide2vec's files through hs2p's own loader, and by what slide2vec's does with them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from models.bags.bag import Bag
from models.bags.hs2p import KEYS
from models.bags.slide2vec import column_order, pack, unpack
from models.errors import BagError
from tests.models.bags.exporting import assert_round_trip, bring_back, export
from tests.models.bags.planted import ENCODER, HALF_ENCODER, PATCH_PX, SLIDES, plant

Open = Callable[..., Bag]

SIDECAR = (
    "artifact_type backend coordinates_meta_path coordinates_npz_path encoder_level encoder_name "
    "feature_dim feature_dtype format image_path mask_path num_tiles read_tile_size_px "
    "requested_tile_size_px encoder_input_size_px requested_spacing_um sample_id tile_size_lv0"
)


@pytest.fixture(scope="module")
def hs2p() -> Any:
    """The package whose loader this is; it is on the package index."""
    return pytest.importorskip(
        "hs2p", reason="hs2p reads slide2vec's coordinates: pip install hs2p"
    )


@pytest.fixture(scope="module")
def out(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slide2vec") / "out"
    export(planted, "slide2vec", folder)
    return folder


def places(out: Path, slide_id: str) -> tuple[Path | None, Path]:
    npz = out / "tiles" / f"{slide_id}.coordinates.npz"
    return (npz if npz.exists() else None), out / "tiles" / f"{slide_id}.coordinates.meta.json"


def slow_order(known: Bag) -> list[int]:
    return sorted(range(len(known)), key=lambda i: tuple(known.coords[i].tolist()))


@pytest.mark.parametrize("slide_id", SLIDES)
def test_hs2p_opens_the_coordinates(hs2p: Any, out: Path, bag: Open, slide_id: str) -> None:
    known = bag(slide_id)
    found = hs2p.load_tiling_result(*places(out, slide_id))
    order = slow_order(known)
    assert found.x.tolist() == known.coords[order, 0].tolist()
    assert found.y.tolist() == known.coords[order, 1].tolist()
    assert found.tissue_fractions.tolist() == known.tissue_fraction[order].tolist()
    assert found.tile_index.tolist() == list(range(len(known)))
    assert found.tile_size_lv0 == round(known.level0_side)
    assert found.requested_tile_size_px == PATCH_PX
    assert found.base_spacing_um == pytest.approx(SLIDES[slide_id].mpp)
    assert tuple(found.slide_dimensions) == SLIDES[slide_id].size
    assert found.sample_id == slide_id
    if slide_id == "odd":
        assert found.overlap == 0.5
        assert found.step_px_lv0 == round(32 * 0.5 / 0.2325)


def test_hs2p_would_write_the_same_order(hs2p: Any, out: Path) -> None:
    from hs2p.tiling.generate import canonicalize_tiling_result

    found = hs2p.load_tiling_result(*places(out, "hole"))
    again = canonicalize_tiling_result(found.tiles)
    assert again.x.tolist() == found.x.tolist()
    assert again.y.tolist() == found.y.tolist()


def test_our_table_of_keys_is_hs2p_s(hs2p: Any) -> None:
    from hs2p.tiling import io

    theirs = {
        "provenance": io._PROVENANCE_KEYS,
        "slide": io._SLIDE_KEYS,
        "tiling": io._TILING_KEYS,
        "segmentation": io._SEGMENTATION_KEYS,
        "filtering": io._FILTERING_KEYS,
        "artifact": io._ARTIFACT_KEYS,
    }
    assert {section: set(keys) for section, keys in KEYS.items()} == theirs
    assert (io.COORDINATE_SPACE, io.TILE_ORDER) == ("level0_px", "x_then_y")


@pytest.mark.parametrize("slide_id", SLIDES)
def test_row_i_belongs_to_tile_i(out: Path, bag: Open, slide_id: str) -> None:
    known = bag(slide_id)
    path = out / "tile_embeddings" / f"{slide_id}.pt"
    sidecar = json.loads(path.with_suffix(".meta.json").read_text())
    assert set(SIDECAR.split()) <= set(sidecar)
    assert sidecar["num_tiles"] == len(known)
    if not len(known):
        assert not path.exists()
        assert sidecar["feature_dim"] is None
        return
    tensor = torch.load(path, map_location="cpu", weights_only=True).numpy()
    assert np.array_equal(tensor, plant(known.store, tensor[0, 0])[slow_order(known)])
    with np.load(out / sidecar["coordinates_npz_path"]) as file:
        assert np.array_equal(tensor[:, 3], file["x"])
        assert np.array_equal(tensor[:, 4], file["y"])
        assert {name: file[name].dtype.name for name in file.files} == {
            "tile_index": "int32",
            "x": "int64",
            "y": "int64",
            "tissue_fractions": "float32",
        }
    assert (sidecar["feature_dtype"], sidecar["feature_dim"]) == ("fp32", 16)
    assert sidecar["encoder_name"] == ENCODER


def test_the_permutation_is_kept(out: Path, bag: Open) -> None:
    summary = json.loads((out / "microtome.json").read_text())
    notes = {s["facts"]["slide_id"]: s["facts"]["notes"] for s in summary["slides"]}
    assert unpack(notes["odd"]["permutation"]).tolist() == slow_order(bag("odd"))


def test_half_precision_stays_as_it_is_stored(planted: Path, tmp_path: Path, bag: Open) -> None:
    export(planted, "slide2vec", tmp_path / "out", encoder=HALF_ENCODER, slide_ids=["odd"])
    tensor = torch.load(tmp_path / "out" / "tile_embeddings" / "odd.pt", weights_only=True)
    assert tensor.dtype == torch.float16
    known = bag("odd", HALF_ENCODER)
    assert np.array_equal(tensor.numpy(), known.read()[slow_order(known)])


def test_the_process_list_is_as_both_want_it(hs2p: Any, out: Path) -> None:
    from hs2p.fileops import read_csv_keyed_by_sample_id

    table = read_csv_keyed_by_sample_id(out / "process_list.csv")
    needed = (
        "sample_id annotation image_path mask_path requested_backend backend "
        "requested_mask_backend mask_backend tiling_status num_tiles coordinates_npz_path "
        "coordinates_meta_path error traceback"
    )
    assert set(needed.split()) <= set(table.columns)
    assert sorted(table["sample_id"]) == sorted(SLIDES)
    empty = table[table["sample_id"] == "empty"].iloc[0]
    assert empty["num_tiles"] == 0
    assert pd.isna(empty["coordinates_npz_path"])


def test_equal_corners_are_written_once() -> None:
    coords = np.array([[5, 1], [0, 2], [5, 1], [0, 1]], np.int32)
    assert column_order(coords).tolist() == [3, 1, 0]
    assert unpack(pack(column_order(coords))).tolist() == [3, 1, 0]


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_hs2p_refuses_other_keys(hs2p: Any, planted: Path, tmp_path: Path, change: str) -> None:
    export(planted, "slide2vec", tmp_path / "out", slide_ids=["quarter"])
    npz, meta = places(tmp_path / "out", "quarter")
    document = json.loads(meta.read_text())
    if change == "missing":
        del document["provenance"]["mask_backend"]
    else:
        document["tiling"]["mpp"] = 0.5
    meta.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=f"{change if change == 'missing' else 'unexpected'} keys"):
        hs2p.load_tiling_result(npz, meta)


def test_what_is_imported_again_is_the_archive(own_archive: Path, tmp_path: Path) -> None:
    assert_round_trip(own_archive, "slide2vec", tmp_path / "out")


def test_hs2p_s_own_files_are_imported(
    hs2p: Any, own_archive: Path, tmp_path: Path, bag: Open
) -> None:
    """Coordinates written by hs2p, features as slide2vec writes them."""
    out = tmp_path / "out"
    export(own_archive, "slide2vec", out, slide_ids=["hole"])
    result = hs2p.load_tiling_result(*places(out, "hole"))
    for path in (out / "tiles").iterdir():
        path.unlink()
    hs2p.save_tiling_result(result, out)
    order = slow_order(bag("hole"))
    torch.save(
        torch.from_numpy(plant(bag("hole").store, 4)[order]), out / "tile_embeddings" / "hole.pt"
    )
    assert bring_back(own_archive, "slide2vec", out, "back") == ["hole"]


def test_unsorted_rows_do_not_fit_their_tiles(own_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(own_archive, "slide2vec", out, slide_ids=["hole"])
    path = out / "tiles" / "hole.coordinates.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["tile_index"] = arrays["tile_index"][::-1]
    np.savez(path, **arrays)
    with pytest.raises(BagError, match="do not fit 34 tiles, numbered from 0"):
        bring_back(own_archive, "slide2vec", out, "back")


def test_without_its_sidecar_nothing_is_finished(own_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(own_archive, "slide2vec", out, slide_ids=["hole"])
    (out / "tile_embeddings" / "hole.meta.json").unlink()
    with pytest.raises(BagError, match="nothing is finished"):
        bring_back(own_archive, "slide2vec", out, "back")
