"""`microtome map --model` from the command line: what it makes, skips, refuses and tells."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from shapely.geometry import shape
from torch import Tensor

from models.segmentation.model import open_model
from models.segmentation.predict import find_presence
from tests.tiling.archives import cut
from tests.tiling.faults.harness import snapshot
from tests.workflows.mapping.conftest import SIDE_PX, Map
from tests.workflows.mapping.trained import CLASSES, make_classifier, make_run
from tiling import zarrjson
from tiling.store import Archive
from tiling.tissuemap import NO_CLASS, TissueMap
from tiling.windows import WindowGrid
from wsi import Point, Region, Size, open_slide

NAME = "Tiny-U-Net"
ALL = ("png", "geojson", "ome-tiff", "dzi", "areas", "entropy")


def map_of(archive: Path, slide_id: str, name: str = NAME) -> TissueMap:
    return TissueMap(Archive.open(str(archive))[slide_id], name)


def test_a_slide_becomes_an_archive_a_map_and_files(
    make_map: Map, slides: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = make_map(slides / "a.svs", "--out", out, "--formats", *ALL, "--json")
    assert ran.code == 0, ran.err
    document = ran.document
    assert document["slides"] == {"done": 1, "skipped": 0, "failed": 0}
    assert document["archive"] == str(out / "archive.zarr")
    assert len(Archive.open(str(out / "archive.zarr"))["a"]) > 0  # cut as `tile` does
    found = map_of(out / "archive.zarr", "a")
    classes, probabilities = found.read("classes"), found.read("probabilities")
    assert probabilities.shape == (3, SIDE_PX, SIDE_PX)
    assert found.legend.names == CLASSES
    tissue = classes != NO_CLASS
    assert 0.2 < tissue.mean() < 0.95
    for number in range(3):
        assert (classes[tissue] == number).mean() > 0.02
    _check_areas(out / "a", classes, document)
    _check_pictures(out / "a", found)
    record = json.loads((out / f"archive.zarr.map-{NAME}.json").read_text())
    assert record["model"]["classifier"] == "Tiny net"
    assert record["windows"] == document["windows"] > 0


def _table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def _check_areas(folder: Path, classes: np.ndarray, document: dict[str, Any]) -> None:
    """Areas are pixel counts times mpp², and polygons have the same."""
    rows = _table(folder / f"{NAME}.areas.csv")
    features = json.loads((folder / f"{NAME}.geojson").read_text("utf-8"))["features"]
    assert {row["name"] for row in rows} == set(CLASSES)
    areas = dict.fromkeys(CLASSES, 0.0)
    for feature in features:
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        areas[feature["properties"]["classification"]["name"]] += polygon.area
    for number, (name, row) in enumerate(zip(CLASSES, rows, strict=True)):
        count = int((classes == number).sum())
        assert int(row["pixels"]) == count
        assert float(row["area_mm2"]) == pytest.approx(count * 0.0005**2)
        assert areas[name] == pytest.approx(count)  # pixels of the map are those of level 0
    told = document["outcomes"][0]["areas"]["classes"]
    assert [one["pixels"] for one in told] == [int(row["pixels"]) for row in rows]


def _check_pictures(folder: Path, found: TissueMap) -> None:
    classes, palette = found.read("classes"), found.legend.palette()
    with Image.open(folder / f"{NAME}.png") as picture:
        numbers = np.asarray(picture)
    # maps that are too small to look at are enlarged by a whole number
    factor = numbers.shape[0] // SIDE_PX
    np.testing.assert_array_equal(numbers[::factor, ::factor], classes)
    with tifffile.TiffFile(folder / f"{NAME}.ome.tif") as file:
        np.testing.assert_array_equal(file.series[0].asarray(), palette[classes])
    with Image.open(folder / f"{NAME}.entropy.png") as picture:
        entropy = np.asarray(picture)[::factor, ::factor]
    np.testing.assert_array_equal(entropy, found.read("entropy"))
    with Image.open(next(folder.glob(f"{NAME}_files/9/0_0.png"))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), classes)


def test_a_map_is_that_of_the_network_run_once(
    make_map: Map, archive: Path, slides: Path, sample: Tensor, tmp_path: Path
) -> None:
    side, margin = (
        SIDE_PX,
        32,
    )  # a multiple of the network's stride; what its edges are sure to change
    model = make_run(tmp_path / "wide", sample, patch_px=192)
    words = ("--slide", "a", "--no-gate", "--overlap", "0.5", "--name", "wide")
    assert make_map(archive, *words, model=model).code == 0
    found = map_of(archive, "a", "wide").read("classes")
    with open_slide(str(slides / "a.svs")) as slide:
        pixels = slide.read_region(Region(Point(0, 0), 0, Size(side, side)))
    network = open_model(model / "segmenter.safetensors")
    with torch.no_grad():
        once = network(network.prepare(torch.from_numpy(pixels[None]))).argmax(dim=1)[0].numpy()
    inner = (slice(margin, -margin),) * 2
    tissue = found[inner] != NO_CLASS
    assert tissue.mean() > 0.3
    assert (found[inner] != once[inner])[tissue].mean() < 0.01
    assert len(np.unique(once[inner][tissue])) == 3


def test_a_slide_finer_than_the_model_is_reduced(
    make_map: Map, archive: Path, sample: Tensor, tmp_path: Path
) -> None:
    model = make_run(tmp_path / "coarse", sample, mpp=1.0)
    assert make_map(archive, "--slide", "a", model=model).code == 0
    found = map_of(archive, "a")
    frame = found.frame
    assert (frame.height_px, frame.width_px) == (SIDE_PX // 2, SIDE_PX // 2)
    assert (frame.mpp.x, frame.level0_step_x) == (1.0, 2.0)
    assert (found.read("classes") != NO_CLASS).any()


def test_the_gate_shows_no_class_that_no_window_over_a_pixel_has(
    make_map: Map, archive: Path, slides: Path, trained: Path
) -> None:
    assert make_map(archive, "--slide", "a").code == 0
    found = map_of(archive, "a")
    grid = WindowGrid(SIDE_PX, SIDE_PX, 64, 16)
    classifier = open_model(trained / "classifier.safetensors")
    allowed = np.zeros((3, SIDE_PX, SIDE_PX), bool)
    with open_slide(str(slides / "a.svs")) as slide:
        for x, y in grid.corners(np.arange(len(grid))):
            pixels = slide.read_region(Region(Point(int(x), int(y)), 0, Size(64, 64)))
            presence = find_presence(classifier, torch.from_numpy(pixels[None]))[0].numpy()
            allowed[:, y : y + 64, x : x + 64] |= (presence > 0.1)[:, None, None]
    classes = found.read("classes")
    tissue = classes != NO_CLASS
    shown = np.take_along_axis(allowed, np.where(tissue, classes, 0)[None], axis=0)[0]
    assert shown[tissue].all()
    assert not found.read("probabilities")[~allowed].any()
    assert not allowed[:, tissue].all()  # the gate has something to do
    assert make_map(archive, "--slide", "a", "--no-gate", "--name", "open").code == 0
    free = map_of(archive, "a", "open").read("classes")
    assert not np.take_along_axis(allowed, np.where(tissue, free, 0)[None], axis=0)[0][tissue].all()


def test_a_second_run_skips_and_writes_what_is_missing(
    make_map: Map, archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert make_map(archive, "--out", out, "--formats", "png").code == 0
    before, picture = snapshot(archive), (out / "a" / f"{NAME}.png").stat()
    ran = make_map(archive, "--out", out, "--formats", "png", "areas", "--json")
    assert ran.document["slides"] == {"done": 0, "skipped": 2, "failed": 0}
    assert ran.document["windows"] == 0
    assert snapshot(archive) == before
    assert (out / "a" / f"{NAME}.png").stat() == picture
    assert (out / "b" / f"{NAME}.areas.csv").exists()
    assert not (archive / ".microtome").exists()


def test_another_map_of_the_name_is_a_conflict_unless_overwritten(
    make_map: Map, archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert make_map(archive, "--out", out, "--formats", "areas").code == 0
    before = snapshot(archive)
    ran = make_map(archive, "--no-gate")
    assert ran.code == 2
    assert f"holds other maps named {NAME}: a: classifier, gate differ; b:" in ran.err
    assert snapshot(archive) == before
    assert make_map(archive, "--no-gate", "--name", "open").code == 0
    again = make_map(archive, "--no-gate", "--overwrite", "--out", out, "--formats", "areas")
    assert again.code == 0, again.err
    for slide_id in "ab":
        ours, other = map_of(archive, slide_id), map_of(archive, slide_id, "open")
        np.testing.assert_array_equal(ours.read("probabilities"), other.read("probabilities"))
        stored = json.loads((out / slide_id / f"{NAME}.areas.json").read_text())["classes"]
        counts = np.bincount(ours.read("classes").ravel(), minlength=256)
        assert [row["pixels"] for row in stored] == counts[:3].tolist()


def test_two_workers_give_the_bytes_of_one(
    make_map: Map, archive: Path, trained: Path, tmp_path: Path, microtome: Any
) -> None:
    other = shutil.copytree(archive, tmp_path / "other.zarr")
    assert make_map(archive).code == 0
    ran = microtome("map", other, "--model", trained, "--workers", 2, "--json")
    assert (ran.code, ran.document["workers"]) == (0, 2)
    assert snapshot(other) == snapshot(archive)


def test_slides_that_cannot_be_mapped_fail_and_the_others_go_on(
    make_map: Map, archive: Path, slides: Path, tmp_path: Path
) -> None:
    moved = shutil.copy(slides / "b.svs", tmp_path / "moved.svs")
    changed = shutil.copy(slides / "b.svs", tmp_path / "changed.svs")
    cut(archive, moved, "moved")
    cut(archive, changed, "changed")
    cut(archive, slides / "b.svs", "coarse", slide_mpp=2.0)
    Path(moved).unlink()
    shutil.copy(slides / "a.svs", changed)
    store = Archive.open(str(archive))["b"]
    _blank_tissue(archive / "b", store.tissue_mask)
    ran = make_map(archive, "--json")
    assert ran.code == 3
    errors = {one["slide_id"]: one["error"] for one in ran.document["outcomes"]}
    assert errors["a"] == ""
    assert "its slide is not at" in errors["moved"]
    assert "is not the file that it was cut from" in errors["changed"]
    assert "enlarging is refused" in errors["coarse"]
    assert "no tissue was found" in errors["b"]
    rows = _table(tmp_path / f"a.zarr.map-{NAME}.failures.csv")
    assert {row["slide_id"]: row["path"] for row in rows}["moved"] == str(moved)
    assert map_of(archive, "a").read("classes").any()


def _blank_tissue(slide: Path, mask: np.ndarray) -> None:
    array = zarrjson.small_array(np.zeros_like(mask), "u1", compress=True)
    assert array.chunk is not None
    (slide / "tissue_mask" / array.chunk_key).write_bytes(array.chunk)


def test_what_makes_no_sense_is_refused_before_any_work(
    make_map: Map, archive: Path, slides: Path, trained: Path, sample: Tensor, tmp_path: Path
) -> None:
    before = snapshot(archive)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(trained / "segmenter.safetensors", alone)
    strange = tmp_path / "strange.safetensors"
    make_classifier(strange, sample, classes=("x", "y", "z"), patch_px=64, mpp=0.5)
    unknown = make_run(tmp_path / "unknown", sample, mpp=None)
    refused = [
        ((slides / "a.svs",), trained, "--out is needed: the folder for the maps"),
        ((slides / "a.svs", "--out", "x.zarr"), trained, "give for instance x"),
        ((archive, "--formats", "png"), trained, "--formats: give --out"),
        ((archive,), alone, "there is none beside .*; give it by --classifier, or .*--no-gate"),
        ((archive,), archive, "a segmenter is needed; .* holds no model at all"),
        ((archive,), tmp_path / "nowhere", "there is no model .*nowhere"),
        ((archive, "--classifier", strange), trained, "Tiny U-Net knows tumour.*has x, y, z"),
        (
            (archive, "--classifier", alone),
            trained,
            "a classifier is needed; .*only segm",
        ),
        ((archive, "--no-gate", "--classifier", strange), trained, "which --no-gate switches off"),
        ((archive, "--no-gate", "--gate-on", "logits"), trained, "which --no-gate switches off"),
        ((archive, "--reader", "image"), trained, "--reader: an archive is cut already"),
        ((archive, "--mpp", "1"), trained, "Tiny U-Net wants 0.5; .*--force"),
        ((archive,), unknown, "does not say at which resolution .* give --mpp"),
        ((archive, "--overlap", "40"), trained, "may share at most 32 px, got 40"),
        ((archive, "--slide", "c"), trained, "holds no slide 'c'"),
        ((archive, "--encoder", "x"), trained, "one of them"),
        ((archive,), None, "one of them"),
        ((), trained, "give slides, an archive or a --manifest"),
        ((tmp_path / "none.zarr",), trained, "no archive at"),
    ]
    for words, model, sentence in refused:
        ran = make_map(*words, model=model)
        assert ran.code == 2, (words, ran)
        assert re.search(sentence, ran.err), (sentence, ran.err)
    assert snapshot(archive) == before


def test_what_is_forced_is_recorded(make_map: Map, archive: Path) -> None:
    ran = make_map(archive, "--slide", "b", "--mpp", "1", "--force", "--json")
    assert ran.code == 0, ran.err
    told = [
        "the map has 1 um/px, Tiny U-Net wants 0.5",
        "the map has 1 um/px, Tiny net wants 0.5",
    ]
    assert ran.document["forced"] == told
    found = map_of(archive, "b")
    assert found.attributes["model"]["forced"] == told
    assert (found.frame.width_px, found.frame.mpp.x) == (100, 1.0)


def test_it_is_told_in_words(make_map: Map, archive: Path, tmp_path: Path) -> None:
    ran = make_map(archive, "--slide", "b", "--out", tmp_path / "out")
    assert "slides   1 done" in ran.out
    assert "0.5 um/px, windows of 64 px that share 16 px, gate probabilities > 0.1" in ran.out
    assert f"*/maps/{NAME}" in ran.out
