"""SpatialData stores, through wsidata and spatialdata alone, and read back by us."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from models.bags import spatialdata, spatialdata_zip, spatialstore
from models.bags.bag import Bag
from models.bags.sink import Sink
from models.bags.tissues import Pieces
from models.errors import BagError, MissingExtraError
from tests.models.bags.exporting import assert_round_trip, contents, export
from tests.models.bags.large import make_large
from tests.models.bags.planted import DIM, SLIDES, bag_of, embed, plant, set_status
from tests.tiling.archives import cut
from tiling.reader import PatchReader
from tiling.store import Archive
from wsi.synthetic import SvsSpec, write_svs

# ome-zarr makes an object of a class that it calls deprecated itself, when it is imported
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler")

Open = Callable[..., Bag]
CUT = [name for name in SLIDES if name != "empty"]
FLOAT = np.dtype(np.float32)

ALONE = """
import sys, warnings
sys.modules["wsidata"] = None
import spatialdata
data = spatialdata.read_zarr(sys.argv[1])
table = data.tables["planted_tiles"]
print(table.X.tolist())
print(data.shapes["tiles"].geometry.bounds[["minx", "miny"]].to_numpy().astype(int).tolist())
print(table.uns["spatialdata_attrs"]["region"], len(data.shapes["tissues"]))
"""


@pytest.fixture(scope="module")
def stores(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted archive, exported; not to be changed."""
    out = tmp_path_factory.mktemp("spatialdata") / "out"
    export(planted, "spatialdata", out)
    return out


def opened(slide: Path, store: Path) -> Any:
    import wsidata

    return wsidata.open_wsi(slide, store=store)


@pytest.mark.parametrize("slide_id", CUT)
def test_wsidata_gives_features_ids_and_corners(
    planted: Path, stores: Path, bag: Open, slide_id: str
) -> None:
    wsi = opened(planted.with_name(f"{slide_id}.svs"), stores / f"{slide_id}.zarr")
    found, known = wsi.fetch.features_anndata("planted"), bag(slide_id)
    assert np.array_equal(found.X, known.read())
    assert found.X.dtype == np.float32
    assert np.array_equal(found.obsm["spatial"], known.coords)
    assert found.obs["tile_id"].tolist() == list(range(len(known)))
    assert np.array_equal(found.obs[["x", "y"]], known.coords)
    assert set(wsi.tables["planted_tiles"].obs["library_id"]) == {"tiles"}


@pytest.mark.parametrize(
    ("slide_id", "stride", "level", "reading", "box"),
    [
        ("quarter", 64, 1, 64, 128),
        ("half.he", 64, 0, 64, 64),
        ("odd", 32, 1, 69, 138),  # 64 * .5 / .2325 = 137.6 of level 0, 68.8 of level 1
        ("bounds", 64, 0, 64, 64),
    ],
)
def test_the_tile_spec_is_that_of_the_archive(
    planted: Path, stores: Path, slide_id: str, stride: int, level: int, reading: int, box: int
) -> None:
    wsi = opened(planted.with_name(f"{slide_id}.svs"), stores / f"{slide_id}.zarr")
    spec = wsi.tile_spec("tiles")
    assert (spec.width, spec.height, spec.stride_width) == (64, 64, stride)
    assert (spec.ops_level, spec.ops_width, spec.base_width, spec.base_level) == (
        level,
        reading,
        box,
        0,
    )
    assert spec.mpp == pytest.approx(0.5)
    sides = wsi.shapes["tiles"].bounds
    assert set(sides["maxx"] - sides["minx"]) == set(sides["maxy"] - sides["miny"]) == {box}


def test_no_product_is_cut_off_to_one_pixel_less() -> None:
    for side in (64, 224, 240, 256, 299, 512, 1000):
        for pixels in range(1, 3 * side):
            assert int(side * spatialdata._ratio(pixels, side)) == pixels


def test_tile_images_are_our_pixels(tmp_path: Path, cmu_slide: Path) -> None:
    pixels = np.ascontiguousarray(np.asarray(tifffile.imread(cmu_slide, key=0))[704:1344, 960:1600])
    slide = tmp_path / "slide.svs"
    write_svs(slide, pixels, (512, 384), SvsSpec(tile_px=128, mpp=0.5, with_associated=False))
    store = cut(tmp_path / "a.zarr", slide, patch_size_px=128)
    assert store.attributes["encoding"]["label"] == "passthrough"
    embed(store, plant(store, 0))
    spatialdata.write(bag_of(tmp_path / "a.zarr", "slide"), Sink(tmp_path / "out"), FLOAT)
    images = opened(slide, tmp_path / "out" / "slide.zarr").ds.tile_images()
    ours = PatchReader(store)
    assert len(images) == len(ours) == 12
    for index in range(12):
        assert np.array_equal(images[index]["image"], ours[index])
        assert (images[index]["x"], images[index]["y"]) == tuple(store.coords[index])


def test_spatialdata_alone_reads_a_store(stores: Path, bag: Open) -> None:
    script = [sys.executable, "-c", ALONE, stores / "hole.zarr"]
    said = subprocess.run(script, check=True, capture_output=True, text=True).stdout.splitlines()
    known = bag("hole")
    assert json.loads(said[0]) == known.read().tolist()
    assert json.loads(said[1]) == known.coords.tolist()
    assert said[2] == "tiles 1"


def test_slide_properties_are_those_that_wsidata_finds(planted: Path, stores: Path) -> None:
    for slide_id in ("quarter", "bounds"):
        said = zarr.open_group(stores / f"{slide_id}.zarr", mode="r").attrs["slide_properties"]
        theirs = opened(planted.with_name(f"{slide_id}.svs"), None).properties.to_dict()
        for name in ("shape", "n_level", "level_shape", "level_downsample", "mpp"):
            assert np.allclose(said[name], theirs[name]), name
        assert json.loads(said["raw"])["slide_id"] == slide_id
    assert said["bounds"] == [70, 33, 330, 260]


def test_tissue_is_drawn_along_the_pixels_of_the_mask(stores: Path, bag: Open) -> None:
    import spatialdata as library

    for slide_id in CUT:
        known, data = bag(slide_id), library.read_zarr(stores / f"{slide_id}.zarr")
        mask, size = known.store.tissue_mask, known.level0_size
        assert size is not None
        pixel = size[0] * size[1] / mask.size
        tissues = data.shapes["tissues"]
        assert tissues.area.sum() == pytest.approx(mask.sum() * pixel)
        assert tissues.is_valid.all()
        assert data.shapes["tiles"]["tissue_id"].tolist() == [0] * len(known)
        holes = sum(len(polygon.interiors) for polygon in tissues.geometry)
        assert holes == (slide_id == "hole")


def test_a_patch_is_of_the_piece_that_it_lies_on() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 5:15] = mask[20:30, 40:55] = 1
    mask[15, 15] = 1  # touches the first at a corner only: a piece of its own
    pieces = Pieces(mask, (600, 400))
    polygons = list(pieces.polygons())
    assert [polygon.bounds for polygon in polygons] == [
        (50, 50, 150, 150),
        (150, 150, 160, 160),
        (400, 200, 550, 300),
    ]
    points = np.array([[100, 100], [155, 155], [500, 250], [599, 399], [0, 0]], float)
    assert pieces.at(points).tolist() == [0, 1, 2, 2, 0]
    assert Pieces(mask * 0, (600, 400)).at(points).tolist() == [-1] * 5


def test_a_table_of_another_suffix_is_not_found(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spatialdata, "SUFFIX", "_patches")
    spatialdata.write(bag_of(planted, "quarter"), Sink(tmp_path), FLOAT)
    wsi = opened(planted.with_name("quarter.svs"), tmp_path / "quarter.zarr")
    with pytest.raises(KeyError, match="Neither planted_tiles or planted_tiles_tiles exist"):
        wsi.fetch.features_anndata("planted")
    with pytest.raises(BagError, match=r"must have one table .* ends with _tiles, it has: none"):
        list(spatialdata.read(tmp_path))


def test_a_store_is_as_many_files_as_planned(stores: Path) -> None:
    assert sum(path.is_file() for path in (stores / "quarter.zarr").rglob("*")) == 36
    features = stores / "quarter.zarr" / "tables" / "planted_tiles" / "X"
    assert sorted(contents(features)) == ["c/0/0", "zarr.json"]
    assert not (stores / "empty.zarr").exists()
    assert json.loads((stores / "microtome.json").read_text())["empty"] == ["empty"]


def test_many_rows_are_shards_of_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiling.embeddings.SHARD_BYTES", 3000 * DIM * 4)
    make_large(tmp_path / "a.zarr", 5000, DIM)
    known = bag_of(tmp_path / "a.zarr", "large")
    spatialdata.write(known, Sink(tmp_path / "out"), FLOAT)
    found = zarr.open_group(tmp_path / "out" / "large.zarr", mode="r")["tables/planted_tiles/X"]
    assert (found.shards, found.chunks) == ((2500, DIM), (1250, DIM))
    assert np.array_equal(found[:], known.read())


@pytest.mark.parametrize("slide_id", CUT)
def test_our_reader_gives_back_what_was_planted(stores: Path, bag: Open, slide_id: str) -> None:
    (foreign,) = [one for one in spatialdata.read(stores) if one.name == slide_id]
    known = bag(slide_id)
    every = np.arange(len(known))
    assert (foreign.frame, foreign.dim, foreign.dtype) == ("corner", DIM, np.float32)
    assert np.array_equal(foreign.positions, known.coords)
    assert np.array_equal(foreign.take(every), known.read())
    assert np.array_equal(foreign.take(every[1::3]), known.read()[1::3])


@pytest.mark.parametrize("name", ["spatialdata", "spatialdata-zip"])
def test_an_export_comes_back_into_the_archive(
    own_archive: Path, tmp_path: Path, name: str
) -> None:
    assert_round_trip(own_archive, name, tmp_path / "out")


def test_our_reader_reads_what_wsidata_writes(planted: Path, tmp_path: Path, bag: Open) -> None:
    from wsidata import TileSpec
    from wsidata.io import add_features, add_tiles

    wsi = opened(planted.with_name("half.he.svs"), tmp_path / "theirs.zarr")
    known = bag("half.he")
    order = np.random.default_rng(0).permutation(len(known))
    add_tiles(wsi, "tiles", known.coords[order], TileSpec(64, 64, 64, 64, mpp=0.5), 0)
    add_features(wsi, "theirs_tiles", "tiles", known.read()[order])
    with pytest.warns(UserWarning, match="autosharding"):
        wsi.write()
    (foreign,) = spatialdata.read(tmp_path)
    assert foreign.name == "theirs"
    assert np.array_equal(foreign.positions, known.coords[order])
    assert np.array_equal(foreign.take(np.arange(len(known))), known.read()[order])


def test_tiles_keep_the_numbers_of_their_rows(own_archive: Path, tmp_path: Path) -> None:
    set_status(Archive.open(str(own_archive))["quarter"], 3, 2)
    known, out = bag_of(own_archive, "quarter"), tmp_path / "out"
    spatialdata.write(known, Sink(out), FLOAT)
    (foreign,) = spatialdata.read(out)
    table = zarr.open_group(out / "quarter.zarr", mode="r")["tables/planted_tiles"]
    assert table["obs/tile_id"][:].tolist() == [0, 1, 2, *range(4, 20)]
    assert np.array_equal(foreign.take(np.arange(19)), known.read())


@pytest.mark.parametrize("name", ["spatialdata", "spatialdata-zip"])
def test_the_same_export_twice_is_the_same_bytes(planted: Path, tmp_path: Path, name: str) -> None:
    for folder in ("one", "other"):
        export(planted, name, tmp_path / folder)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_a_packed_store_opens_in_zarr_and_unpacks_to_the_same(
    planted: Path, stores: Path, tmp_path: Path, bag: Open
) -> None:
    export(planted, "spatialdata-zip", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [f"{name}.zarr.zip" for name in CUT] + ["microtome.json"]
    )
    packed = tmp_path / "out" / "odd.zarr.zip"
    with zipfile.ZipFile(packed) as archive:
        assert archive.namelist()[0] == "zarr.json"
        archive.extractall(tmp_path / "odd.zarr")
    assert contents(tmp_path / "odd.zarr") == contents(stores / "odd.zarr")
    with zarr.storage.ZipStore(packed, mode="r") as store:
        found = zarr.open_group(store, mode="r")["tables/planted_tiles/X"]
        assert np.array_equal(found[:], bag("odd").read())
    assert [one.name for one in spatialdata_zip.read(tmp_path / "out")] == sorted(CUT)


def test_an_encoder_of_any_name_makes_a_valid_table() -> None:
    from spatialdata._core.validation import check_valid_name

    for encoder_id in ("vit-s.cls+mean", "resnet50", "a.b_c-d+e"):
        check_valid_name(spatialdata.table_name(encoder_id))
    assert spatialdata.table_name("vit-s.cls+mean") == "vit-s.cls-mean_tiles"


def test_a_slide_of_unknown_resolution_is_written_without_its_properties(
    own_archive: Path, tmp_path: Path
) -> None:
    known = bag_of(own_archive, "quarter")
    known.attributes.update(levels=None, mpp={"x": None, "y": None}, mpp_effective=[None, None])
    spatialdata.write(known, Sink(tmp_path / "out"), FLOAT)
    said = zarr.open_group(tmp_path / "out" / "quarter.zarr", mode="r").attrs
    assert "slide_properties" not in said
    assert said["tile_spec"]["tiles"]["mpp"] is None
    assert said["tile_spec"]["tiles"]["tissue_name"] is None


def test_a_missing_package_names_the_extra(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(MissingExtraError, match=r"spatialdata is not .* 'microtome\[interop\]'"):
        spatialdata.write(bag_of(planted, "quarter"), Sink(tmp_path), FLOAT)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_store_is_refused(stores: Path, tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"holds no \*\.zarr"):
        spatialdata.read(tmp_path)
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(BagError, match=r"a\.zarr is no store of patches and features"):
        list(spatialdata.read(tmp_path))
    (tmp_path / "a.zarr.zip").write_bytes(b"nothing")
    with pytest.raises(BagError, match=r"a\.zarr\.zip is no store of patches"):
        list(spatialdata_zip.read(tmp_path))
    shapes = spatialstore._shapes(stores / "odd.zarr")
    with pytest.raises(BagError, match="features of patches that are not among the tiles"):
        spatialstore._positions(shapes, np.array([3, 99]))
