"""`microtome segment evaluate` on planted patches, against scores worked out by hand."""

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.segmentation.model import open_model, save_model
from tests.workflows.conftest import Microtome
from tests.workflows.segmenting.conftest import BY_COLUMNS
from tests.workflows.segmenting.planted import (
    CLASSES,
    GATED,
    GREEN,
    PX,
    UNGATED,
    patches,
    save_classifier,
    save_segmenter,
    write_patches,
)


def scored(microtome: Microtome, *words: object) -> dict[str, Any]:
    ran = microtome("segment", "evaluate", *words, "--json", "--quiet")
    assert ran.code == 0, ran.err
    return ran.document


def values(scores: dict[str, Any]) -> dict[str, Any]:
    """Values without their intervals."""
    names = ("miou", "fwiou", "pixel_accuracy", "mean_accuracy")
    found = {name: scores[name] and scores[name]["value"] for name in names}
    return found | {f"iou_{k}": one and one["value"] for k, one in enumerate(scores["iou"])}


def archive_of(microtome: Microtome, folder: Path, found: Any, **columns: Any) -> Path:
    table = write_patches(folder / "files", found, **columns)
    out = folder / "own.zarr"
    assert microtome("import", "patches", table, "--out", out, *BY_COLUMNS, "--quiet").code == 0
    return out


def test_scores_with_and_without_gate_are_those_of_the_hand_counted_matrices(
    microtome: Microtome, models: Path, truth: Path
) -> None:
    found = scored(microtome, truth, "--model", models)
    assert list(found["scores"]) == ["segmenter", "gated"]
    assert found["gate"] == {"on": "probabilities", "epsilon": 0.1}
    ungated, gated = (found["scores"][way] for way in ("segmenter", "gated"))
    assert ungated["confusion"] == UNGATED
    assert gated["confusion"] == GATED
    red, green = 8000 / 10112, 4096 / 6144  # of true red 10112, of true green 4096
    assert values(ungated["without_background"]) == pytest.approx(
        {
            "miou": (red + green + 0) / 3,  # blue is nowhere, but is predicted
            "fwiou": (10112 * red + 4096 * green) / 14208,
            "pixel_accuracy": 12096 / 14208,
            "mean_accuracy": (8000 / 10112 + 1) / 2,
            "iou_0": red,
            "iou_1": green,
            "iou_2": 0,
        }
    )
    red = 8064 / 10112
    assert values(gated["without_background"]) == pytest.approx(
        {
            "miou": (red + green) / 2,  # blue is nowhere at all
            "fwiou": (10112 * red + 4096 * green) / 14208,
            "pixel_accuracy": 12160 / 14208,
            "mean_accuracy": (8064 / 10112 + 1) / 2,
            "iou_0": red,
            "iou_1": green,
            "iou_2": None,
        }
    )
    assert gated["without_background"]["recall"] == [pytest.approx(8064 / 10112), 1.0, None]


def test_with_background_white_pixels_are_one_more_class(
    microtome: Microtome, models: Path, truth: Path
) -> None:
    found = scored(microtome, truth, "--model", models)["scores"]["gated"]
    assert found["confusion_with_background"] == [*GATED[:3], [0, 0, 0, 2048]]
    scores = values(found["with_background"])
    wanted = [8064 / 10112, 2 / 3, None, 1.0]
    assert [scores[f"iou_{k}"] for k in range(4)] == pytest.approx(wanted)
    assert scores["pixel_accuracy"] == pytest.approx((12160 + 2048) / 16256)


def test_where_white_is_tissue_there_are_no_scores_with_background(
    microtome: Microtome, truth: Path, tmp_path: Path
) -> None:
    save_segmenter(tmp_path / "s.safetensors", white=False)
    found = scored(microtome, truth, "--model", tmp_path / "s.safetensors")
    assert found["scores"]["segmenter"]["with_background"] is None
    assert found["scores"]["segmenter"]["confusion"] == UNGATED
    assert "white is tissue to this model, so it is not scored with background" in found["notes"]


def test_intervals_are_over_patients(microtome: Microtome, models: Path, truth: Path) -> None:
    found = scored(microtome, truth, "--model", models, "--resamples", 200)
    assert found["patients"] == 2
    accuracy = found["scores"]["segmenter"]["without_background"]["pixel_accuracy"]
    # of two patients a quarter of the resamples holds the first alone, a quarter the second
    assert accuracy["high"] == pytest.approx(8000 / 8064)
    assert accuracy["low"] == pytest.approx(4096 / 6144)
    assert accuracy["resamples"] == 200


def test_a_classifier_alone_is_scored_by_its_maps_and_on_whole_patches(
    microtome: Microtome, models: Path, truth: Path
) -> None:
    file = models / "classifier.safetensors"
    found = scored(microtome, truth, "--model", file)
    assert list(found["scores"]) == ["cam"]
    assert found["scores"]["cam"]["confusion"] == GATED  # maps of classes that are unlikely are out
    assert found["patch_level"]["patches"] == 4
    assert found["patch_level"]["labels"] == ["archive"]
    assert found["patch_level"]["exact"]["value"] == 2 / 4  # A and B
    jaccard = (1 + 1 + 1 / 2 + 1 / 3) / 4  # of C green alone is found, of D all three
    assert found["patch_level"]["jaccard"]["value"] == pytest.approx(jaccard)


def test_maps_stand_beside_the_segmenter_where_asked_for(
    microtome: Microtome, models: Path, truth: Path
) -> None:
    found = scored(microtome, truth, "--model", models, "--cam", "--no-gate")
    assert list(found["scores"]) == ["cam", "segmenter"]
    assert found["gate"] is None
    assert found["scores"]["cam"]["confusion"] == GATED
    assert found["scores"]["segmenter"]["confusion"] == UNGATED


def test_a_gate_that_lets_all_through_changes_nothing(
    microtome: Microtome, models: Path, truth: Path
) -> None:
    found = scored(microtome, truth, "--model", models, "--gate-epsilon", 0.001)
    assert found["scores"]["gated"]["confusion"] == UNGATED


def test_the_gate_on_logits_lets_a_removed_class_win(
    microtome: Microtome, truth: Path, models: Path, tmp_path: Path
) -> None:
    whole = open_model(models / "segmenter.safetensors")
    whole.network.segmentation_head[0].bias.data.fill_(-20.0)  # all logits are below 0
    save_model(tmp_path / "segmenter.safetensors", whole.network, whole.card)
    words = (truth, "--model", tmp_path, "--classifier", models)
    on = {
        rule: scored(microtome, *words, "--gate-on", rule)["scores"]["gated"]["confusion"]
        for rule in ("probabilities", "logits")
    }
    assert on["probabilities"] == GATED
    # times 0, classes that are not there win: of B green, the first of them, of C red
    assert on["logits"][1][0] == 2048


def test_pixels_whose_truth_is_background_change_nothing(
    microtome: Microtome, models: Path, truth: Path, tmp_path: Path
) -> None:
    changed = patches()
    changed["D"][0][32:] = GREEN
    own = archive_of(microtome, tmp_path, changed)
    before = scored(microtome, truth, "--model", models)["scores"]
    after = scored(microtome, own, "--model", models)["scores"]
    for way in ("segmenter", "gated"):
        assert after[way]["without_background"] == before[way]["without_background"]
        assert after[way]["confusion"][3] == [0, 2048, 0, 0]
        assert after[way]["with_background"] != before[way]["with_background"]


def test_batches_and_archives_add_up(
    microtome: Microtome, models: Path, truth: Path, tmp_path: Path
) -> None:
    whole = scored(microtome, truth, "--model", models, "--batch", 5)["scores"]
    single = scored(microtome, truth, "--model", models, "--batch", 1)["scores"]
    assert single == whole
    found = patches()
    own = archive_of(microtome, tmp_path, {name: found[name] for name in "BD"})
    both = scored(microtome, truth, own, "--model", models)["scores"]["segmenter"]["confusion"]
    again = np.array([[4032 + 2048, 0, 64, 0], [0] * 4, [0] * 4, [2048, 0, 0, 0]])
    assert (np.array(both) == np.array(UNGATED) + again).all()


def test_a_split_alone_is_scored(microtome: Microtome, models: Path, truth: Path) -> None:
    found = scored(microtome, truth, "--model", models, "--split", "test")
    assert found["patches"] == {"scored": 2, "without_mask": 0}
    matrix = found["scores"]["segmenter"]["confusion"]
    assert matrix == [[2048, 2048, 0, 0], [0, 2048, 0, 0], [0] * 4, [2048, 0, 0, 0]]
    assert "all patches are of one patient, so there are no intervals" in found["notes"]
    assert found["scores"]["gated"]["without_background"]["miou"]["low"] is None


def test_notes_say_what_to_beware_of(microtome: Microtome, models: Path, truth: Path) -> None:
    found = scored(microtome, truth, "--model", models)
    assert found["patches"] == {"scored": 4, "without_mask": 1}
    assert found["notes"] == [
        "1 patch without a mask left out",
        "no mask holds blue: its IoU is not defined, or 0 where it is predicted",
    ]
    assert found["pixels"] == [10112, 4096, 0, 2048]


def test_without_labels_patients_and_mpp_masks_and_slides_stand_in(
    microtome: Microtome, models: Path, tmp_path: Path
) -> None:
    table = write_patches(tmp_path / "files", patches(), patient="", mpp="")
    own = tmp_path / "own.zarr"
    words = ("--labels", "none", "--slide-by", "slide_id", "--quiet")
    assert microtome("import", "patches", table, "--out", own, *words).code == 0
    found = scored(microtome, own, "--model", models)
    assert found["patients"] == 2
    assert found["patch_level"]["labels"] == ["masks"]
    jaccard = (1 + 1 + 1 / 2 + 1 / 3) / 4
    assert found["patch_level"]["jaccard"]["value"] == pytest.approx(jaccard)
    assert found["notes"][:3] == [
        f"2 slides of {own} without a patient, each counted as one of its own",
        f"{own} does not name its classes; masks are read as 0 red, 1 green, 2 blue, 3 background",
        f"{own} does not say its resolution; planted segmenter wants 1 um/px",
    ]


def test_files_hold_what_the_command_says(
    microtome: Microtome, models: Path, truth: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    found = scored(microtome, truth, "--model", models, "--cam", "--out", out)
    assert {Path(place).name for place in found["files"].values()} == {
        path.name for path in out.iterdir()
    }
    del found["files"]
    assert json.loads((out / "scores.json").read_text()) == found
    with (out / "confusion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 4
    wanted = ("segmenter", "tissue", "red")
    row = next(one for one in rows if tuple(one.values())[:3] == wanted)
    assert [int(row[name]) for name in (*CLASSES, "background")] == UNGATED[0]


def test_the_page_shows_patches_of_every_class_with_truth_and_predictions(
    microtome: Microtome, models: Path, truth: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    scored(microtome, truth, "--model", models, "--cam", "--out", out, "--pictures", 2)
    page = (out / "report.html").read_text()
    found = re.findall(r'src="data:image/png;base64,([^"]+)" alt="([^"]+)"', page)
    shown = {
        alt: np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        for data, alt in found
    }
    # most of B, C and D is red (or as much as green), of A green; the lowest draw of each is shown
    draws = dict(zip("ABECD", np.random.Generator(np.random.PCG64(1337)).random(5), strict=True))
    places = {"A": "slide-p1 patch 0", "B": "slide-p1 patch 1"}
    places |= {"C": "slide-p2 patch 0", "D": "slide-p2 patch 1"}
    red = places[min("BCD", key=draws.__getitem__)]
    columns = ("truth", "activation maps", "without gate", "with gate")
    assert list(shown) == [f"{name}: {column}" for name in (red, places["A"]) for column in columns]
    for column in columns:
        picture = shown[f"{places['A']}: {column}"]
        assert (picture[:, :30] == (205, 51, 51)).all()
        assert (picture[:, 32:] == (0, 200, 0)).all()
    assert (shown[f"{places['A']}: truth"][:, 30:32] == 200).all()
    assert page.count("<img") == 2 * 5  # and the images
    for words in ("Activation maps", "Without gate", "With gate", "IoU of background", "0.797"):
        assert words in page
    assert page.count('class="matrix"') == 3
    assert "http" not in page.replace("http-equiv", "")


def test_nothing_is_written_unless_asked_for(
    microtome: Microtome, models: Path, truth: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = microtome("segment", "evaluate", truth, "--model", models)
    assert ran.code == 0
    assert not list(tmp_path.iterdir())
    assert "planted segmenter: 4 patches of 2 patients" in ran.out
    assert "IoU of green" in ran.out
    assert "0.667 (" in ran.out


def test_patches_of_another_size_or_resolution_are_scored_when_forced(
    microtome: Microtome, truth: Path, tmp_path: Path
) -> None:
    save_segmenter(tmp_path / "segmenter.safetensors", mpp=0.5, patch_px=2 * PX)
    save_classifier(tmp_path / "classifier.safetensors", mpp=0.5, patch_px=2 * PX)
    found = scored(microtome, truth, "--model", tmp_path, "--force")
    assert found["scores"]["gated"]["confusion"] == GATED
    assert found["forced"] == [
        "the patches have 1 um/px, planted segmenter wants 0.5",
        "the patches have 64 px, planted segmenter learned from 128",
        "the patches have 1 um/px, planted classifier wants 0.5",
        "the patches have 64 px, planted classifier learned from 128",
    ]
