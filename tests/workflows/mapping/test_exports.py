"""Exports open in other programs and show the map that they were made of."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import openslide
import pytest
import tifffile
import tiffslide
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from shapely.geometry import shape

from tests.tiling.networks import plan_over
from tests.workflows.mapping.maps import LEGEND, Bytes, map_of, patchy
from tiling.mapwriter import MapWriter
from tiling.store import Archive, slide_document
from tiling.tissuemap import NO_CLASS, ArrayMap, TissueMap, bands
from workflows.mapping.areas import measure_areas, write_areas_csv, write_areas_json
from workflows.mapping.dzi import write_dzi
from workflows.mapping.geojson import write_geojson
from workflows.mapping.ometiff import write_ome_tiff
from workflows.mapping.picture import reduce_map, write_entropy_png, write_png
from workflows.mapping.pyramid import Pyramid, halve_classes, halve_values, level_sizes, regroup

PALETTE = LEGEND.palette()


def _features(path: Path) -> list[dict]:
    return json.loads(path.read_text("utf-8"))["features"]


def test_geojson_is_what_qupath_reads(tmp_path: Path) -> None:
    source = map_of(np.array([[0, 0, NO_CLASS], [0, 2, 2]], np.uint8))
    assert write_geojson(source, tmp_path / "m.geojson") == 2
    document = json.loads((tmp_path / "m.geojson").read_text("utf-8"))
    assert document["type"] == "FeatureCollection"
    tumor, necrosis = document["features"]
    assert tumor["type"] == "Feature"
    assert tumor["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
    }
    assert necrosis["properties"]["classification"] == {"name": "Nécrose", "color": [10, 20, 250]}
    # pixels of 4 x 2.5 level-0 px from (30, 20)
    expected = [[30, 20], [38, 20], [38, 22.5], [34, 22.5], [34, 25], [30, 25], [30, 20]]
    (ring,) = tumor["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    start = ring.index([30, 20])
    assert ring[start:-1] + ring[:start] == expected[:-1]


def test_polygons_of_the_file_rasterise_back_to_the_map(tmp_path: Path) -> None:
    classes = patchy(120, 150, seed=4)
    source = map_of(classes, level0_x=0, level0_y=0, level0_step_x=3, level0_step_y=3)
    count = write_geojson(source, tmp_path / "m.geojson")
    picture = Image.new("L", (450, 360), NO_CLASS)
    features = _features(tmp_path / "m.geojson")
    assert len(features) == count
    names = LEGEND.names
    # large ones first: PIL fills no holes, but what lies in a hole is smaller
    for feature in sorted(features, key=lambda f: -shape(f["geometry"]).envelope.area):
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        layer = Image.new("1", picture.size)
        draw = ImageDraw.Draw(layer)
        draw.polygon([tuple(p) for p in np.array(polygon.exterior.coords) - 0.5], fill=1)
        for hole in polygon.interiors:
            draw.polygon([tuple(p) for p in np.array(hole.coords) - 0.5], fill=0)
        picture.paste(names.index(feature["properties"]["classification"]["name"]), mask=layer)
    found = np.asarray(picture)[1::3, 1::3]
    for number in (*range(3), NO_CLASS):
        union = (found == number) | (classes == number)
        assert ((found == number) & (classes == number)).sum() / union.sum() > 0.99


def test_a_viewer_that_crops_gets_shifted_polygons_and_small_pieces_may_be_left_out(
    tmp_path: Path,
) -> None:
    classes = np.array([[0, NO_CLASS, 1, 1], [NO_CLASS, NO_CLASS, 1, 1]], np.uint8)
    path = tmp_path / "m.geojson"
    assert write_geojson(map_of(classes), path, shown_from=(30, 20), smallest_px=4) == 1
    assert shape(_features(path)[0]["geometry"]).bounds == (8, 0, 16, 5)


def test_a_map_of_nothing_is_a_valid_file(tmp_path: Path) -> None:
    source = map_of(np.full((7, 9), NO_CLASS, np.uint8))
    assert write_geojson(source, tmp_path / "m.geojson") == 0
    assert _features(tmp_path / "m.geojson") == []
    areas = measure_areas(source)
    assert (areas.pixels, areas.area_mm2, areas.entropy_mean) == (0, 0, None)
    write_png(source, tmp_path / "m.png")
    assert (np.asarray(Image.open(tmp_path / "m.png")) == NO_CLASS).all()


def test_areas_are_pixel_counts_times_the_area_of_a_pixel(tmp_path: Path) -> None:
    classes = np.full((5, 8), NO_CLASS, np.uint8)
    classes[0], classes[1:3, :4] = 0, 2
    entropy = np.zeros_like(classes)
    entropy[0, :4], entropy[1:3, :4], entropy[4] = 51, 102, 255  # the last row has no class
    areas = measure_areas(map_of(classes, entropy))
    tumor, stroma, necrosis = areas.classes
    pixel_mm2 = 1.0 * 0.625 / 1e6
    assert (tumor.pixels, tumor.area_mm2) == (8, pytest.approx(8 * pixel_mm2))
    assert tumor.entropy_mean == pytest.approx(0.1)
    assert (stroma.pixels, stroma.area_mm2, stroma.entropy_mean) == (0, 0, None)
    assert necrosis.entropy_mean == pytest.approx(0.4)
    assert [row.share for row in areas.classes] == [0.5, 0, 0.5]
    assert (areas.pixels, areas.area_mm2) == (16, pytest.approx(16 * pixel_mm2))
    assert areas.entropy_mean == pytest.approx(0.25)
    write_areas_json(areas, tmp_path / "a.json")
    write_areas_csv(areas, tmp_path / "a.csv")
    document = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert document["classes"][2]["name"] == "Nécrose"
    assert document["classes"][1]["entropy_mean"] is None
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["pixels"] for row in rows] == ["8", "0", "8"]
    assert float(rows[0]["area_mm2"]) == tumor.area_mm2
    assert rows[1]["entropy_mean"] == ""


def test_areas_are_those_of_the_polygons(tmp_path: Path) -> None:
    classes = patchy(90, 110, seed=2)
    source = map_of(classes)
    write_geojson(source, tmp_path / "m.geojson")
    sums = dict.fromkeys(LEGEND.names, 0.0)
    for feature in _features(tmp_path / "m.geojson"):
        sums[feature["properties"]["classification"]["name"]] += shape(feature["geometry"]).area
    for row in measure_areas(source).classes:
        assert sums[row.name] / (4 * 2.5) == pytest.approx(row.pixels)
        assert row.pixels == (classes == LEGEND.names.index(row.name)).sum()


def _slow_halve(classes: Bytes) -> Bytes:
    height, width = classes.shape
    halved = np.zeros((-(-height // 2), -(-width // 2)), np.uint8)
    for i, j in np.ndindex(*halved.shape):
        rows = [2 * i, min(2 * i + 1, height - 1)]
        columns = [2 * j, min(2 * j + 1, width - 1)]
        four = [int(classes[r, c]) for r in rows for c in columns]
        halved[i, j] = max(four, key=lambda value: (four.count(value), -four.index(value)))
    return halved


@settings(deadline=None)  # the machine may be busy
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    rows=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_levels_keep_the_most_frequent_class(height: int, width: int, rows: int, seed: int) -> None:
    classes = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)
    sizes = level_sizes(height, width, 1)
    found: dict[int, list[Bytes]] = {}
    pyramid = Pyramid(len(sizes), lambda level, part: found.setdefault(level, []).append(part))
    for top in range(0, height, rows):
        pyramid.add(classes[top : top + rows])
    pyramid.finish()
    expected = classes
    for level, size in enumerate(sizes):
        np.testing.assert_array_equal(np.concatenate(found[level]), expected)
        assert expected.shape == size
        expected = _slow_halve(expected)


def test_values_are_averaged() -> None:
    values = np.array([[0, 1, 9], [2, 3, 10]], np.uint8)
    assert halve_values(values).tolist() == [[2, 10]]  # 1.5 and 9.5, rounded up
    assert halve_classes(np.array([[1, 2], [2, 3]], np.uint8)).tolist() == [[2]]


@settings(deadline=None)  # the machine may be busy
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6), rows=st.integers(1, 9))
def test_bands_are_cut_anew(lengths: list[int], rows: int) -> None:
    whole = np.arange(sum(lengths), dtype=np.uint8)[:, None]
    parts = np.split(whole, np.cumsum(lengths)[:-1])
    found = list(regroup(parts, rows))
    assert all(len(part) == rows for part in found[:-1])
    np.testing.assert_array_equal(np.concatenate(found), whole)


def test_the_picture_shows_the_classes_in_their_colours(tmp_path: Path) -> None:
    classes = patchy(101, 77)
    assert write_png(map_of(classes), tmp_path / "m.png") == (101, 77)
    with Image.open(tmp_path / "m.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), classes)
        shown = np.asarray(picture.convert("RGBA"))
    np.testing.assert_array_equal(shown[..., 3] == 0, classes == NO_CLASS)
    known = classes != NO_CLASS
    np.testing.assert_array_equal(shown[known][:, :3], PALETTE[classes[known]])
    assert write_png(map_of(classes), tmp_path / "s.png", max_px=30) == (26, 20)


def test_the_entropy_is_a_grey_picture(tmp_path: Path) -> None:
    entropy = np.arange(64, dtype=np.uint8).reshape(8, 8)
    source = map_of(np.zeros((8, 8), np.uint8), entropy)
    write_entropy_png(source, tmp_path / "e.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "e.png")), entropy)
    assert reduce_map(source, "entropy", 4)[0, 0] == 5  # (0 + 1 + 8 + 9) / 4, rounded up


@pytest.fixture(scope="module")
def large() -> Bytes:
    """Two odd tiles high, three wide."""
    return patchy(701, 1203, seed=1)


def test_the_ome_tiff_opens_with_tifffile(tmp_path: Path, large: Bytes) -> None:
    path = tmp_path / "m.ome.tif"
    assert write_ome_tiff(map_of(large), path) == 3
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        (series,) = file.series
        assert [level.shape for level in series.levels] == [
            (701, 1203, 3),
            (351, 602, 3),
            (176, 301, 3),
        ]
        np.testing.assert_array_equal(series.levels[0].asarray(), PALETTE[large])
        halved = halve_classes(large)
        np.testing.assert_array_equal(series.levels[1].asarray(), PALETTE[halved])
        np.testing.assert_array_equal(series.levels[2].asarray(), PALETTE[halve_classes(halved)])
        pixels = ET.fromstring(str(file.ome_metadata)).find(".//{*}Pixels")
    assert pixels is not None
    assert float(pixels.attrib["PhysicalSizeX"]) == 1.0
    assert float(pixels.attrib["PhysicalSizeY"]) == 0.625
    assert [left.name for left in tmp_path.iterdir()] == ["m.ome.tif"]


def test_the_ome_tiff_opens_as_a_slide(tmp_path: Path, large: Bytes) -> None:
    path = tmp_path / "m.ome.tif"
    write_ome_tiff(map_of(large), path)
    with tiffslide.TiffSlide(path) as slide:
        assert slide.level_dimensions == ((1203, 701), (602, 351), (301, 176))
        assert slide.properties["tiffslide.mpp-x"] == pytest.approx(1.0)
        region = np.asarray(slide.read_region((600, 400), 0, (300, 200), as_array=True))
    np.testing.assert_array_equal(region, PALETTE[large[400:600, 600:900]])
    with openslide.OpenSlide(str(path)) as slide:  # knows no levels of this format
        assert slide.dimensions == (1203, 701)
        shown = np.asarray(slide.read_region((600, 400), 0, (300, 200)).convert("RGB"))
    np.testing.assert_array_equal(shown, region)


def test_class_numbers_are_kept_for_programs(tmp_path: Path, large: Bytes) -> None:
    write_ome_tiff(map_of(large), tmp_path / "m.ome.tif", content="classes")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "m.ome.tif", level=0), large)
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as file:
        assert "classes, from 0: Tumor, Stroma, Nécrose" in str(file.ome_metadata)


def test_the_deep_zoom_layer_is_put_together_again(tmp_path: Path, large: Bytes) -> None:
    count = write_dzi(map_of(large), tmp_path / "m.dzi")
    image = ET.parse(tmp_path / "m.dzi").getroot()
    tile, overlap = int(image.attrib["TileSize"]), int(image.attrib["Overlap"])
    assert (image.attrib["Format"], overlap) == ("png", 0)
    size = image.find("{*}Size")
    assert size is not None
    assert (int(size.attrib["Width"]), int(size.attrib["Height"])) == (1203, 701)
    levels = sorted(int(folder.name) for folder in (tmp_path / "m_files").iterdir())
    assert levels == list(range(12))  # 2 ** 11 is the first power of two of at least 1203
    expected = large
    for level in reversed(levels):
        whole = np.zeros_like(expected)
        for path in (tmp_path / "m_files" / str(level)).iterdir():
            column, row = map(int, path.stem.split("_"))
            with Image.open(path) as picture:
                part = np.asarray(picture)
                shown = np.asarray(picture.convert("RGBA"))
            top, left = row * tile, column * tile
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
            np.testing.assert_array_equal(shown[..., 3] == 0, part == NO_CLASS)
        np.testing.assert_array_equal(whole, expected)
        expected = halve_classes(expected)
    assert len(list((tmp_path / "m_files").rglob("*.png"))) == count
    assert write_dzi(map_of(large[:9, :9].copy()), tmp_path / "m.dzi") == 5  # replaces all of it
    assert len(list((tmp_path / "m_files").rglob("*.png"))) == 5


def test_a_stored_map_is_exported_as_the_same_arrays_are(tmp_path: Path) -> None:
    archive = Archive.create(str(tmp_path / "a.zarr"))
    archive.storage.write("s/zarr.json", [slide_document({"slide_id": "s", "n_patches": 0})])
    plan = plan_over(95, 131, 64, 16, shard_bytes=1)
    writer = MapWriter(archive["s"], "m", plan)
    rng = np.random.default_rng(0)
    for window in writer.todo:
        writer.add(window, rng.dirichlet(np.ones(3), (64, 64)).transpose(2, 0, 1))
    writer.finish()
    stored = TissueMap(archive["s"], "m")
    held = ArrayMap(stored.legend, stored.frame, stored.read("classes"), stored.read("entropy"))
    for source, folder in ((stored, tmp_path / "stored"), (held, tmp_path / "held")):
        write_geojson(source, folder / "m.geojson")
        write_png(source, folder / "m.png")
        write_areas_json(measure_areas(source), folder / "m.json")
    names = ["m.geojson", "m.json", "m.png"]
    assert sorted(path.name for path in (tmp_path / "stored").iterdir()) == names
    for name in names:
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("stored", "held"))
        assert one == other
    # polygons lie where the frame says: 2 level-0 px per pixel from (100, 50)
    boxes = [shape(f["geometry"]).bounds for f in _features(tmp_path / "stored" / "m.geojson")]
    left, top, right, bottom = np.array(boxes).T
    assert (left.min(), top.min(), right.max(), bottom.max()) == (100, 50, 362, 240)


@pytest.mark.parametrize("size", [(1, 1), (1, 600), (513, 1)])
def test_thin_maps_are_exported(tmp_path: Path, size: tuple[int, int]) -> None:
    source = map_of(np.ones(size, np.uint8))
    write_png(source, tmp_path / "m.png")
    write_ome_tiff(source, tmp_path / "m.ome.tif")
    write_dzi(source, tmp_path / "m.dzi")
    write_geojson(source, tmp_path / "m.geojson")
    assert tifffile.imread(tmp_path / "m.ome.tif", level=0).shape == (*size, 3)
    assert np.concatenate(list(bands(source))).shape == size
    assert shape(_features(tmp_path / "m.geojson")[0]["geometry"]).area == size[0] * size[1] * 10
