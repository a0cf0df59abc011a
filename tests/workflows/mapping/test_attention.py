"""`microtome map --attention`: what mil predict has stored, or is asked for, as files."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from shapely.geometry import box, shape

from models.bags.bag import Bag
from models.mil.maps import store_attention
from tests.models.mil.cohorts import (
    ENCODER,
    STEP,
    Planted,
    planted_cohort,
    write_cohort,
    write_slide,
)
from tiling.maps import write_map
from tiling.store import Archive
from workflows import cli
from workflows.reporting.attention import colours

Run = Callable[..., Any]
QUICK = ("--epochs", 2, "--hidden-dim", 8, "--attention-dim", 4, "--folds", 2, "--quiet")
MAP = "attention-run-one"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a slide classifier, beside the archive that it learned from."""
    folder = tmp_path_factory.mktemp("mil")
    empty = Planted("empty", np.zeros((0, 8), np.float32), "tumour", "p-empty")
    slides = planted_cohort(patients=8, patches=(4, 7))
    write_cohort(folder / "cohort.zarr", [*slides, empty])
    words = ["mil", "train", folder / "cohort.zarr", "--encoder", ENCODER]
    assert cli.run([str(word) for word in (*words, "--out", folder / "run one", *QUICK)]) == 0
    return folder / "run one"


@pytest.fixture
def cohort(trained: Path, tmp_path: Path) -> Path:
    """A copy of the archive for a test to change."""
    return Path(shutil.copytree(trained.with_name("cohort.zarr"), tmp_path / "own.zarr"))


def test_a_run_is_asked_for_attention_that_is_not_there(
    microtome: Run, cohort: Path, trained: Path, tmp_path: Path
) -> None:
    words = ["map", cohort, "--attention", trained, "--out", tmp_path / "maps", "--json"]
    ran = microtome(*words)
    assert ran.code == 0, ran.err
    assert ran.document["slides"] == {"done": 8, "skipped": 1, "failed": 0}
    assert ran.document["map"] == MAP
    for slide_id in (f"s{number:03d}" for number in range(8)):
        stored = zarr.open_group(cohort / slide_id / "maps" / MAP, mode="r")["patches"][:]
        place = tmp_path / "maps" / slide_id / f"{MAP}.geojson"
        features = json.loads(place.read_text())["features"]
        measured = [feature["properties"]["measurements"][0] for feature in features]
        assert {one["name"] for one in measured} == {"attention"}
        values = [one["value"] for one in measured]
        assert values == pytest.approx(stored[0].tolist(), rel=1e-6)
        assert (tmp_path / "maps" / slide_id / f"{MAP}.png").exists()
    assert not (tmp_path / "maps" / "empty").exists()

    document = cohort / "s000" / "maps" / MAP / "zarr.json"
    before = document.stat().st_mtime_ns
    assert microtome(*words).code == 0
    assert document.stat().st_mtime_ns == before  # what is stored is not computed again
    checked = microtome("verify", cohort, "--slide", "s000", "--json").document["problems"]
    assert not [one for one in checked if one["key"].startswith("maps")]


def test_attention_of_another_run_of_the_name_is_not_shown_for_this_one(
    microtome: Run, cohort: Path, trained: Path, tmp_path: Path
) -> None:
    bag = Bag(Archive.open(str(cohort))["s000"], ENCODER)
    old = np.full((1, len(bag)), 1 / len(bag), np.float32)
    store_attention(bag, MAP, old, ("attention",), {"identity": "of an earlier run"})
    words = ["map", cohort, "--attention", trained, "--out", tmp_path / "maps"]
    refused = microtome(*words)
    assert refused.code == 2
    assert f"s000 has a map '{MAP}' of another run" in refused.err
    assert microtome(*words, "--overwrite").code == 0


ATTENTION = np.array([[0.4, 0.1, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4]], np.float32)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A slide of 2 x 2 patches with attention of two classes, of which no run is left."""
    planted = Planted("s", np.zeros((4, 2), np.float32), attributes={"bounds": [100, 50, 900, 900]})
    bag = Bag(write_slide(tmp_path / "a.zarr", planted, columns=2), ENCODER)
    store_attention(bag, "attention-old", ATTENTION, ("benign", "high grade"), {})
    return tmp_path / "a.zarr"


def test_patches_are_rectangles_of_level_0_with_measurements(
    microtome: Run, stored: Path, tmp_path: Path
) -> None:
    assert microtome("map", stored, "--attention", "old", "--out", tmp_path / "maps").code == 0
    folder = tmp_path / "maps" / "s"
    features = json.loads((folder / "attention-old.geojson").read_text())["features"]
    ranks = {0.1: 0.0, 0.2: 0.3333, 0.3: 0.6667, 0.4: 1.0}
    for number, feature in enumerate(features):
        row, column = divmod(number, 2)
        left, top = column * STEP - 100, row * STEP - 50  # as QuPath shows a slide with bounds
        drawn = shape(feature["geometry"])
        assert drawn.equals(box(left, top, left + STEP, top + STEP))
        assert drawn.exterior.is_ccw
        first, second = (round(float(value), 4) for value in ATTENTION[:, number])
        properties = feature["properties"]
        assert properties["objectType"] == "tile"
        assert {one["name"]: one["value"] for one in properties["measurements"]} == {
            "benign": first,
            "benign rank": ranks[first],
            "high grade": second,
            "high grade rank": ranks[second],
        }
        shown = colours(np.array([3 * ATTENTION[0, number] * 10 / 9 - 1 / 3]))
        assert properties["color"] == shown[0].tolist()


def test_every_channel_is_a_picture(microtome: Run, stored: Path, tmp_path: Path) -> None:
    words = ["map", stored, "--attention", "old", "--out", tmp_path / "maps", "--formats", "png"]
    assert microtome(*words).code == 0
    folder = tmp_path / "maps" / "s"
    names = {path.name for path in folder.iterdir()}
    assert names == {"attention-old.benign.png", "attention-old.high-grade.png"}
    with Image.open(folder / "attention-old.benign.png") as picture:
        right = np.asarray(picture)[:, -32:]  # the thumbnail of 32 px is on the left
    corners = right[8, 8], right[8, 24], right[24, 8], right[24, 24]
    brightness = [int(corner.sum()) for corner in corners]
    assert np.argsort(brightness).tolist() == [1, 3, 2, 0]  # as the attention of the four


def test_what_cannot_be_written_is_refused_or_named(
    microtome: Run, stored: Path, tmp_path: Path
) -> None:
    store = Archive.open(str(stored))["s"]
    words = ["map", stored, "--out", tmp_path / "maps"]
    ran = microtome(*words, "--attention", "new")
    assert ran.code == 2
    assert "no slide has a map 'attention-new'; there are: attention-old" in ran.err
    ran = microtome(*words, "--attention", "old", "--formats", "png", "dzi")
    assert (ran.code, "attention is written as png and geojson, got" in ran.err) == (2, True)
    cases = {
        "is no attention, its kind is 'other'": ({"kind": "other", "channels": ["a"]}, 4),
        "has values (1, 5) for 1 channels and 4 patches": (
            {"kind": "attention", "channels": ["a"]},
            5,
        ),
    }
    for sentence, (attributes, count) in cases.items():
        values = {"patches": np.ones((1, count), np.float32)}
        write_map(store, "attention-odd", values, attributes)
        ran = microtome(*words, "--attention", "odd")
        assert (ran.code, sentence in ran.out.replace("\n", " ")) == (3, True), ran.out
    lacking = {"patches": np.array([[1, 2, np.nan, 3]], np.float32)}
    write_map(store, "attention-odd", lacking, {"kind": "attention", "channels": ["a"]})
    assert "lacks the attention of readable" in microtome(*words, "--attention", "odd").out


def test_patches_whose_places_nobody_knows_have_no_rectangles(
    microtome: Run, tmp_path: Path
) -> None:
    known = {"grid": None, "levels": None, "import": {"coords": "made up"}}
    planted = Planted("s", np.zeros((4, 2), np.float32), attributes=known)
    bag = Bag(write_slide(tmp_path / "a.zarr", planted, columns=2), ENCODER)
    store_attention(bag, "attention-old", ATTENTION[:1], ("attention",), {})
    words = ["map", tmp_path / "a.zarr", "--attention", "old", "--out", tmp_path / "maps"]
    ran = microtome(*words)
    assert (ran.code, "nobody knows where the patches of s lie" in ran.out) == (3, True)
    assert microtome(*words, "--formats", "png").code == 0
    assert (tmp_path / "maps" / "s" / "attention-old.png").exists()
