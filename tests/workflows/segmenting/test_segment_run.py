"""All steps by one command, and what each of them refuses."""

import json
import shutil
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest

from models.segmentation.model import read_tissue_card
from models.segmentation.storing import remove_masks, write_masks
from tests.workflows.conftest import Microtome
from tests.workflows.segmenting.tissues import CLASSIFY, SEGMENT, TINY, import_set, write_set
from tiling.maps import map_names
from tiling.store import Archive
from tiling.tissuemap import TissueMap

NETWORK: dict[str, Any] = {"optimizer": "adam", "lr": 0.003, "batch": 8, "weight_decay": 0.0}
FILE: dict[str, Any] = {
    "seeds": [0, 1],
    "single_layer": True,
    "start_from_classifier": True,
    "classify": NETWORK | {"backbone": "test_resnet", "init": "random", "epochs": 6},
    "train": NETWORK
    | {"architecture": "unet", "encoder": "tu-test_resnet", "epochs": 8, "lr": 0.0005},
    "supervised": {"split": "val", "epochs": 4, "val_epochs": 0, "keep": "last"},
}


@pytest.fixture
def own(tissues: Path, tmp_path: Path) -> Path:
    """A copy of the archive for a test to change."""
    return Path(shutil.copytree(tissues, tmp_path / "own.zarr"))


def write_config(folder: Path, archive: Path, **changes: Any) -> Path:
    path = folder / "run.json"
    given = FILE | {"archives": [str(archive)], "out": str(folder / "run")} | changes
    path.write_text(json.dumps(given))
    return path


def refusal(microtome: Microtome, *words: object) -> str:
    ran = microtome("segment", *words, "--quiet")
    assert ran.code == 2, ran.out
    assert ran.err.count("\n") == 1
    return str(ran.err)


def test_one_command_does_all_steps_and_gives_a_table_over_seeds(
    microtome: Microtome, own: Path, tmp_path: Path
) -> None:
    file = write_config(tmp_path, own)
    ran = microtome("segment", "run", file, "--json")
    assert ran.code == 0, ran.err
    found = ran.document
    assert list(found["table"]) == [
        *("activation maps", "segmenter", "segmenter and gate"),
        *("last layer alone, gate", "true masks"),
    ]
    for way, scores in found["table"].items():
        values = [row["miou"] for row in found["rows"] if row["way"] == way]
        assert len(values) == 2
        assert scores["miou"] == pytest.approx([fmean(values), stdev(values)])
    assert found["table"]["segmenter and gate"]["miou"][0] > 0.5
    lines = (tmp_path / "run" / "table.md").read_text().splitlines()
    assert len(lines) == 2 + 5
    mean, deviation = found["table"]["true masks"]["miou"]
    assert f"{100 * mean:.1f} ± {100 * deviation:.1f}" in lines[-1]
    folder = tmp_path / "run" / "seed-1"
    roles = [
        read_tissue_card(folder / f"{role}.safetensors").role
        for role in ("classifier", "segmenter")
    ]
    assert roles == ["classifier", "segmenter"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    again = microtome("segment", "run", file, "--json").document
    assert again["table"] == found["table"]
    trained = {path for path in before if path.parent != folder}
    assert all(path.stat().st_mtime_ns == before[path] for path in trained)


def test_scores_of_a_run_are_those_that_evaluate_tells(
    microtome: Microtome, own: Path, tmp_path: Path
) -> None:
    changes = {"seeds": [3], "single_layer": False, "supervised": None}
    found = microtome("segment", "run", write_config(tmp_path, own, **changes), "--json").document
    words = ("--model", tmp_path / "run", "--split", "test", "--json")
    told = microtome("segment", "evaluate", own, *words).document["scores"]["gated"]
    gated = next(row for row in found["rows"] if row["way"] == "segmenter and gate")
    assert gated["miou"] == told["without_background"]["miou"]["value"]
    assert found["models"] == {"3": str(tmp_path / "run")}
    assert found["table"]["segmenter"]["miou"][1] is None  # one seed has no deviation


@pytest.mark.slow
def test_one_command_goes_from_labels_to_a_map_of_a_real_slide(
    microtome: Microtome, own: Path, tmp_path: Path, cmu_slide: Path
) -> None:
    wanted = {"slides": [str(cmu_slide)], "out": str(tmp_path / "maps"), "workers": 1}
    changes = {"seeds": [0], "single_layer": False, "supervised": None, "map": wanted}
    ran = microtome("segment", "run", write_config(tmp_path, own, **changes), "--json")
    assert ran.code == 0, ran.err
    store = Archive.open(str(tmp_path / "maps" / "archive.zarr"))[cmu_slide.stem]
    (name,) = map_names(store)
    found = TissueMap(store, name)
    assert found.legend.names == ("red", "green", "blue")
    assert (found.frame.mpp.x, found.frame.mpp.y) == pytest.approx((1.0, 1.0), rel=0.03)
    pieces = json.loads((tmp_path / "maps" / cmu_slide.stem / f"{name}.geojson").read_text())
    told = {piece["properties"]["classification"]["name"] for piece in pieces["features"]}
    assert told
    assert told <= set(found.legend.names)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"classify": {"seed": 3}}, r"[classify] must not set seed: the run does"),
        ({"train": {"epoch": 3}}, "epoch"),
        ({"map": {"model": "x"}}, "[map] must not set model"),
    ],
)
def test_a_wrong_table_is_refused_before_anything_runs(
    changes: dict[str, Any], sentence: str, microtome: Microtome, own: Path, tmp_path: Path
) -> None:
    file = write_config(tmp_path, own, **changes)
    assert sentence in refusal(microtome, "run", file)
    assert not (tmp_path / "run").exists()


def test_masks_of_another_classifier_are_told_of_before_training(
    microtome: Microtome, own: Path, stage_one: Path, tmp_path: Path
) -> None:
    words = ("segment", "pseudo-masks", own, "--model", stage_one, "--quiet")
    assert microtome(*words).code == 0
    file = write_config(tmp_path, own, seeds=[0])
    assert "choose another --name" in refusal(microtome, "run", file)
    assert not (tmp_path / "run").exists()
    assert "not masks, which are the true ones" in refusal(
        microtome, "run", file, "--name", "masks"
    )


def test_a_split_without_true_masks_cannot_judge_or_be_scored(
    microtome: Microtome, own: Path, tmp_path: Path
) -> None:
    words = ("classify", own, *CLASSIFY, "--out", tmp_path / "run", "--val-split", "night")
    told = refusal(microtome, *words)
    assert "no slide with true masks is of the split 'night' (--val-split)" in told
    file = write_config(tmp_path, own, test_split="night")
    assert "is of split 'night'; it has test, train, val" in refusal(microtome, "run", file)


def test_patches_without_labels_are_refused(microtome: Microtome, tmp_path: Path) -> None:
    bare = import_set(write_set(tmp_path / "files"), tmp_path / "bare.zarr", "none")
    told = refusal(microtome, "classify", bare, *CLASSIFY, "--out", tmp_path / "run")
    assert "have no labels; `microtome import patches` writes them" in told


def test_a_class_that_never_occurs_is_told_of(
    microtome: Microtome, tissues: Path, tmp_path: Path
) -> None:
    labels = "column:red,green,blue"
    table = write_set(tmp_path / "files")
    text = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([*line[:-1], "0"]) for line in text[1:]))
    table.write_text(",".join(text[0]) + "\n" + table.read_text() + "\n")
    archive = import_set(table, tmp_path / "two.zarr", labels)
    words = (*CLASSIFY, "--epochs", 1, "--out", tmp_path / "run", "--json")
    found = microtome("segment", "classify", archive, *words).document
    assert "no patch holds blue, so it cannot be learned" in found["notes"]


def test_segmenters_need_masks_of_the_size_of_patches(
    microtome: Microtome, own: Path, tmp_path: Path
) -> None:
    words = (*SEGMENT, "--out", tmp_path / "run")
    told = refusal(microtome, "train", own, *words)
    assert "has no masks pseudo; `microtome segment pseudo-masks` makes them" in told
    for store in Archive.open(str(own)).stores():
        remove_masks(store.storage, store.slide_id, "masks")
        masks = [np.zeros((16, 16), np.uint8)] * len(store)
        write_masks(store, "masks", masks, side_px=16)
    told = refusal(microtome, "train", own, "--masks", "masks", *words)
    assert "masks of these patches are uint8 (12, 32, 32)" in told


def test_a_classifier_of_other_classes_or_resolution_makes_no_masks(
    microtome: Microtome, stage_one: Path, tmp_path: Path
) -> None:
    table = write_set(tmp_path / "files")
    table.write_text(table.read_text().replace("blue", "violet", 1))
    other = import_set(table, tmp_path / "other.zarr", "column:red,green,violet")
    told = refusal(microtome, "pseudo-masks", other, "--model", stage_one)
    assert "knows red, green, blue; " in told
    assert "has red, green, violet, and names and order must be the same" in told
    table.write_text(table.read_text().replace("violet", "blue", 1).replace(",1.0,", ",0.5,"))
    finer = import_set(table, tmp_path / "finer.zarr")
    told = refusal(microtome, "pseudo-masks", finer, "--model", stage_one)
    assert "the patches have 0.5 um/px" in told
    ran = microtome("segment", "pseudo-masks", finer, "--model", stage_one, "--force", "--json")
    assert ran.code == 0
    assert any("0.5 um/px" in note for note in ran.document["notes"])


def test_an_unknown_split_or_backbone_is_refused(
    microtome: Microtome, tissues: Path, tmp_path: Path
) -> None:
    words = ("classify", tissues, "--out", tmp_path / "run")
    assert "is of the split 'night'" in refusal(microtome, *words, *CLASSIFY, "--split", "night")
    vit = ("--backbone", "vit_tiny_patch16_224", "--init", "random", *TINY)
    assert "gives no feature maps" in refusal(microtome, *words, *vit)
