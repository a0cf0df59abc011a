"""`microtome map --encoder --probe`: classes of patches of a real slide, counted by hand."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

from models.probe import LinearProbe, ProbeCard, pack_probe
from tests.models.mil.cohorts import ENCODER, Planted, card, embed, write_slide
from tiling.store import Archive, PatchStore
from tiling.tissuemap import NO_CLASS, TissueMap

Run = Callable[..., Any]
SLIDE = "CMU-1-Small-Region"
NAMES = ("epidermis", "dermis", "keratin")
SIDE, MPP = 240, 0.499
"""Patches of the bundled slide, next to each other, in pixels of level 0."""
MAP = f"probe-{ENCODER}"


def write_probe(path: Path, strength: float = 9.0, **changes: Any) -> Path:
    """A probe whose class is the largest of three numbers."""
    eye, zeros = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    probe = LinearProbe(strength * eye, zeros, zeros, zeros + 1)
    known = {"encoder_id": ENCODER, "encoder": card(3), "classes": NAMES, "mpp": MPP}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack_probe(probe, ProbeCard(**(known | changes))))
    return path


def rows_of(classes: Any) -> np.ndarray:
    """Embeddings that the probe takes for these classes."""
    return np.eye(3, dtype=np.float32)[np.asarray(classes) % 3]


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    return write_probe(tmp_path / "run" / f"probe-{ENCODER}.safetensors")


@pytest.fixture
def archive(tiled: Path, tmp_path: Path) -> Path:
    """The real slide, cut along its own tiles, for a test to change."""
    return Path(shutil.copytree(tiled, tmp_path / "archive.zarr"))


@pytest.fixture
def slide(archive: Path) -> PatchStore:
    """The real slide; the class of a patch is its row plus its column, modulo 3."""
    store = Archive.open(str(archive))[SLIDE]
    embed(store, rows_of((store.coords // SIDE).sum(axis=1)))
    return store


def _expected(store: PatchStore) -> np.ndarray:
    """The class map patch by patch, without any grid arithmetic of ours."""
    classes = np.full((12, 9), NO_CLASS, np.uint8)  # whole patches in 2967 x 2220 px
    for x, y in store.coords.tolist():
        classes[y // SIDE, x // SIDE] = (x // SIDE + y // SIDE) % 3
    return classes


def test_every_patch_is_a_pixel_of_its_class(
    microtome: Run, slide: PatchStore, archive: Path, probe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    ran = microtome("map", archive, "--encoder", ENCODER, "--probe", probe, "--out", out, "--json")
    assert ran.code == 0, ran.err
    found = TissueMap(slide, MAP)
    expected = _expected(slide)
    np.testing.assert_array_equal(found.read("classes"), expected)
    theirs = zarr.open_group(archive / SLIDE / "maps" / MAP, mode="r")
    sure = np.exp(9) / (np.exp(9) + 2)
    there = expected != NO_CLASS
    chosen = theirs["probabilities"][:].max(axis=0)
    assert set(chosen[there].tolist()) == {round(255 * sure)}
    assert not chosen[~there].any()
    assert found.frame.level0(np.array([[2, 3]])).tolist() == [[2 * SIDE, 3 * SIDE]]
    assert found.legend.names == NAMES

    with (out / SLIDE / f"{MAP}.areas.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = [int((expected == number).sum()) for number in range(3)]
    assert sum(counts) == len(slide) == 55
    assert [int(row["pixels"]) for row in rows] == counts
    patch_mm2 = (SIDE * MPP / 1000) ** 2
    areas = [float(row["area_mm2"]) for row in rows]
    assert areas == pytest.approx([count * patch_mm2 for count in counts], rel=1e-9)
    (outcome,) = ran.document["outcomes"]
    assert (outcome["state"], outcome["shape"], outcome["patches"]) == ("done", [12, 9], 55)


def test_labels_become_a_probe_and_the_probe_a_map(
    microtome: Run, slide: PatchStore, archive: Path, tmp_path: Path
) -> None:
    from tiling.labels import Labels, add_array

    classes = (slide.coords // SIDE).sum(axis=1) % 3
    noise = np.random.default_rng(0).normal(0, 0.1, (len(slide), 3))
    embed(slide, (rows_of(classes) + noise).astype(np.float32))
    labels = Labels(classes.astype(np.int32), NAMES, "classes")
    add_array(slide.storage, SLIDE, "labels", labels.array())
    run = tmp_path / "probed"
    words = ["probe", archive, "--encoder", ENCODER, "--probe", "linear", "--split", "patch"]
    words += [
        "--fractions",
        0.5,
        1,
        "--fraction-unit",
        "patch",
        "--linear-rate",
        50,
        "--resamples",
        5,
        "--out",
        run,
    ]
    assert microtome(*words).code == 0
    assert microtome("map", archive, "--encoder", ENCODER, "--probe", run).code == 0
    found = TissueMap(slide, MAP)
    np.testing.assert_array_equal(found.read("classes"), _expected(slide))
    card = found.attributes["model"]["probe"]
    assert card["mpp"] == pytest.approx(MPP)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    taught = [one["train"]["patches"] for one in lines if one["kind"] == "score"]
    assert taught[0] < taught[1]  # the larger share is kept
    assert card["data"] == [f"archive.zarr: labels of {taught[1]} patches (split patch)"]


def test_all_files_show_the_map(
    microtome: Run, slide: PatchStore, archive: Path, probe: Path, tmp_path: Path
) -> None:
    from shapely.geometry import box, shape

    formats = ("png", "geojson", "ome-tiff", "dzi", "entropy", "areas")
    out = tmp_path / "maps"
    words = ["map", archive, "--encoder", ENCODER, "--probe", probe.parent, "--out", out]
    assert microtome(*words, "--formats", *formats).code == 0
    expected, folder = _expected(slide), out / SLIDE
    factor = 43  # 12 x 43 px are the first that reach 512
    with Image.open(folder / f"{MAP}.png") as picture:
        shown = expected.repeat(factor, 0).repeat(factor, 1)
        np.testing.assert_array_equal(np.asarray(picture), shown)
    with Image.open(folder / f"{MAP}.entropy.png") as picture:
        assert picture.size == (9 * factor, 12 * factor)
    names = {path.name for path in folder.iterdir()}
    assert {f"{MAP}.ome.tif", f"{MAP}.dzi", f"{MAP}_files", f"{MAP}.areas.json"} <= names
    pieces = json.loads((folder / f"{MAP}.geojson").read_text())["features"]
    for number, name in enumerate(NAMES):
        own = [p for p in pieces if p["properties"]["classification"]["name"] == name]
        shapes = [shape(piece["geometry"]) for piece in own]
        assert sum(one.area for one in shapes) == (expected == number).sum() * SIDE**2
        for x, y in slide.coords.tolist():
            if (x // SIDE + y // SIDE) % 3 == number:
                centre = box(x, y, x + SIDE, y + SIDE).centroid
                assert any(one.contains(centre) for one in shapes)


def test_overlapping_patches_are_not_counted_twice(
    microtome: Run, tmp_path: Path, probe: Path
) -> None:
    """Patches of 128 px every 64 px: each stands for the 64 px around its centre."""
    grid = {"origin_x": 0.0, "origin_y": 0.0, "step_x": 64.0, "step_y": 64.0, "extent_x": 128.0}
    grid |= {"extent_y": 128.0, "columns": 4, "rows": 2, "downsample": 1.0}
    planted = Planted("s", rows_of([0, 0, 1, 1, 2, 2, 2, 2]), attributes={"grid": grid})
    store = write_slide(tmp_path / "a.zarr", planted, columns=4)
    from tiling import zarrjson

    corners = np.stack([np.arange(8) % 4 * 64, np.arange(8) // 4 * 64], axis=1)
    array = zarrjson.small_array(corners, "i4")
    store.storage.write(f"s/coords/{array.chunk_key}", [array.chunk or b""])
    words = ["map", tmp_path / "a.zarr", "--encoder", ENCODER, "--probe", probe, "--json"]
    ran = microtome(*words, "--out", tmp_path / "maps", "--formats", "areas", "geojson")
    assert ran.code == 0, ran.err
    found = TissueMap(store, MAP)
    assert found.read("classes").tolist() == [[0, 0, 1, 1], [2, 2, 2, 2]]
    areas = ran.document["outcomes"][0]["areas"]["classes"]
    assert [row["area_mm2"] for row in areas] == pytest.approx(
        [count * (64 * 0.5 / 1000) ** 2 for count in (2, 2, 4)]
    )
    pieces = json.loads((tmp_path / "maps" / "s" / f"{MAP}.geojson").read_text())["features"]
    first = next(p for p in pieces if p["properties"]["classification"]["name"] == NAMES[0])
    xs, ys = np.array(first["geometry"]["coordinates"][0]).T
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (32, 160, 32, 96)


def test_slides_that_cannot_be_mapped_are_named_and_the_others_go_on(
    microtome: Run, slide: PatchStore, archive: Path, probe: Path
) -> None:
    two = rows_of([0, 1])
    far = {"mpp_effective": [2.0, 2.0]}
    made_up = {"grid": None, "import": {"coords": "made up"}}
    write_slide(archive, Planted("empty", rows_of([0])[:0]))
    write_slide(archive, Planted("far", two, attributes=far))
    write_slide(archive, Planted("foreign", two), weights_sha256="1" * 64)
    write_slide(archive, Planted("imported", two, attributes=made_up))
    write_slide(archive, Planted("none", two), encoder="another")
    write_slide(archive, Planted("broken", np.full((2, 3), np.nan, np.float32)))
    write_slide(archive, Planted("zz", two))
    write_slide(archive, Planted("a-torn", two))
    (archive / "a-torn" / "zarr.json").write_bytes(b"{")
    words = ["map", archive, "--encoder", ENCODER, "--probe", probe]
    ran = microtome(*words, "--json")
    assert ran.code == 3
    told = {one["slide_id"]: (one["state"], one["error"]) for one in ran.document["outcomes"]}
    sentences = {
        "a-torn": "a-torn/zarr.json is damaged",
        "broken": "the embedding of patch 0 of broken is NaN or infinite; embed again",
        "far": "the patches have 2 um/px, the probe learned at 0.499",
        "foreign": "the probe learned from those of toy",
        "imported": "nobody knows where the patches of imported lie",
        "none": "none has no embeddings of 'toy'; there are: another",
    }
    assert {name for name, (state, _) in told.items() if state == "failed"} == set(sentences)
    for name, sentence in sentences.items():
        assert sentence in told[name][1]
    assert (told["empty"][0], told[SLIDE][0], told["zz"][0]) == ("skipped", "done", "done")
    assert ran.document["slides"] == {"done": 2, "skipped": 1, "failed": 6}
    forced = microtome(*words, "--force", "--slide", "far")
    assert forced.code == 0
    model = TissueMap(Archive.open(str(archive))["far"], MAP).attributes["model"]
    assert model["forced"] == ["the patches have 2 um/px, the probe learned at 0.499"]
    found = microtome("verify", archive, "--slide", SLIDE, "--json").document["problems"]
    assert {one["key"].partition("/")[0] for one in found} == {"embeddings"}  # have no checksums


def test_unreadable_patches_have_no_class(microtome: Run, tmp_path: Path, probe: Path) -> None:
    from tiling import zarrjson

    store = write_slide(tmp_path / "a.zarr", Planted("s", rows_of([0, 1, 2])), columns=3)
    array = zarrjson.small_array(np.array([0, 2, 0], np.uint8), "u1")
    store.storage.write(f"s/status/{array.chunk_key}", [array.chunk or b""])
    assert microtome("map", tmp_path / "a.zarr", "--encoder", ENCODER, "--probe", probe).code == 0
    assert TissueMap(store, MAP).read("classes").tolist() == [[0, NO_CLASS, 2]]


def test_a_map_is_made_once_and_replaced_on_request_only(
    microtome: Run, slide: PatchStore, archive: Path, probe: Path
) -> None:
    words = ["map", archive, "--encoder", ENCODER, "--probe", probe]
    assert microtome(*words).code == 0
    document = archive / SLIDE / "maps" / MAP / "zarr.json"
    before = document.stat().st_mtime_ns
    again = microtome(*words, "--json")
    assert again.document["slides"] == {"done": 0, "skipped": 1, "failed": 0}
    assert document.stat().st_mtime_ns == before
    write_probe(probe, strength=2.0)
    refused = microtome(*words)
    assert refused.code == 3
    assert f"has another map '{MAP}'" in refused.out
    assert microtome(*words, "--name", "softer").code == 0
    assert microtome(*words, "--overwrite").code == 0
    sure = np.exp(2) / (np.exp(2) + 2)
    for name in (MAP, "softer"):
        assert TissueMap(slide, name).read("probabilities").max() == round(255 * sure)
    assert not (archive / ".microtome").exists()


def test_a_run_that_is_working_on_the_slide_is_not_disturbed(
    microtome: Run, slide: PatchStore, archive: Path, probe: Path
) -> None:
    from tiling.lease import Leases
    from tiling.maps import map_lease

    with Leases(slide.storage) as leases:
        assert leases.acquire(map_lease(SLIDE, f"probe-{ENCODER}"))
        ran = microtome("map", archive, "--encoder", ENCODER, "--probe", probe)
    assert ran.code == 3
    assert f"another run is mapping {SLIDE}" in ran.out


def test_what_cannot_be_done_is_refused_before_any_work(
    microtome: Run, slide: PatchStore, archive: Path, probe: Path, tmp_path: Path
) -> None:
    cases = {
        ("--encoder", ENCODER): "--encoder needs a --probe",
        ("--encoder", ENCODER, "--probe", tmp_path / "none"): "holds no linear probe",
        ("--encoder", "tyo", "--probe", probe): "has no embeddings of 'tyo'; there are: toy",
        ("--probe", probe, "--mpp", "1", "--batch", "4"): "--mpp, --batch: only with --model",
        ("--probe", probe, "--reader", "image"): "--reader: an archive is cut already",
        ("--probe", probe, "--formats", "png"): "--formats: give --out",
        ("--probe", probe, "--slide", "CMU"): "holds no slide 'CMU'",
        ("--probe", probe, "--split", "test"): "no slide is of the split 'test'; there are: none",
    }
    for words, sentence in cases.items():
        ran = microtome("map", archive, *words)
        assert (ran.code, sentence in ran.err) == (2, True), ran.err
    write_probe(probe.with_name("probe-other.safetensors"))
    ran = microtome("map", archive, "--encoder", "third", "--probe", probe.parent)
    assert "holds the linear probes probe-other.safetensors, probe-toy.safetensors" in ran.err
    probe.write_bytes(probe.read_bytes()[:-1])
    assert "is damaged or cut short" in microtome("map", archive, "--probe", probe).err
    assert not (archive / SLIDE / "maps").exists()
