"""Both stages by command: what they learn, what they leave behind, and how they go on."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models.data import PatchDataset
from models.errors import DataError
from models.segmentation.choosing import open_judging, slides_of
from models.segmentation.judging import Judge
from models.segmentation.layers import about_masks, layers_of
from models.segmentation.model import TissueModel, open_model
from models.segmentation.predict import make_cam_masks, make_pseudo_masks
from models.segmentation.storing import write_masks
from models.segmentation.training import classify
from tests.workflows.conftest import Microtome
from tests.workflows.segmenting.tissues import CLASSIFY, NAMES, PX, RATE, SEGMENT, WHITE
from tiling.lease import Leases
from tiling.reader import PatchReader
from tiling.store import Archive
from workflows.config import make_config
from workflows.segmenting.config import SegmentClassifyConfig
from workflows.segmenting.request import classify_job


@pytest.fixture
def own(tissues: Path, tmp_path: Path) -> Path:
    """A copy of the archive for a test to change."""
    return Path(shutil.copytree(tissues, tmp_path / "own.zarr"))


def masks_in(archive: Path, name: str) -> dict[str, np.ndarray]:
    """Every mask of the training slides, by array."""
    stores = [store for store in Archive.open(str(archive)).stores() if "train" in store.slide_id]
    arrays = layers_of(stores[0], (name,))
    return {
        array: np.concatenate([np.stack(list(PatchReader(store, array))) for store in stores])
        for array in arrays
    }


def labels_of(archive: Path) -> np.ndarray:
    patches = PatchDataset(str(archive), ["train-0", "train-1"])
    assert patches.labels is not None
    return np.asarray(patches.labels)


def test_a_classifier_learns_the_tissues_and_says_so(tissues: Path, stage_one: Path) -> None:
    model = open_model(stage_one, "classifier")
    assert model.card.classes == NAMES
    assert (model.card.patch_px, model.card.mpp, model.card.white) == (32, 1.0, True)
    patches = PatchDataset(str(tissues), ["test-0", "test-1"])
    batch = patches.__getitems__(range(len(patches)))
    with torch.no_grad():
        found = model(model.prepare(batch.pixels)) > 0
    assert batch.labels is not None
    assert (found == (batch.labels == 1)).float().mean() > 0.8


def test_the_best_epoch_is_kept_when_asked(
    microtome: Microtome, tissues: Path, tmp_path: Path
) -> None:
    words = ("--epochs", 4, "--keep", "best", "--out", tmp_path / "run", "--json")
    document = microtome("segment", "classify", tissues, *CLASSIFY, *words).document
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert document["best"]["miou"] == pytest.approx(max(scores_in(lines)))
    learned = open_judging([str(tissues)], "val")
    assert learned is not None
    model = open_model(tmp_path / "run" / "classifier.safetensors")

    def predict(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        return make_cam_masks(TissueModel(network, model.card), pixels)

    judge = Judge(learned, predict, tmp_path, keeps=False)
    # with other threads or instructions a few pixels at the threshold may fall either way
    assert judge.score(model.network) == pytest.approx(document["best"]["miou"], abs=0.005)
    assert not (tmp_path / "run" / "best.safetensors").exists()


def scores_in(lines: str) -> list[float]:
    import json

    found = [json.loads(line) for line in lines.splitlines()]
    return [line["miou"] for line in found if line["kind"] == "epoch"]


def test_a_stopped_run_goes_on_to_the_same_weights(tissues: Path, tmp_path: Path) -> None:
    def job(out: Path) -> dict[str, Any]:
        given = {"archives": (str(tissues),), "out": str(out), "epochs": 4, "batch": 8}
        given |= {"backbone": "test_resnet", "init": "random", "keep": "best"}
        out.mkdir(exist_ok=True)
        return classify_job(make_config(SegmentClassifyConfig, given))

    steps = 0

    def told(line: dict[str, Any]) -> None:
        nonlocal steps
        steps = line.get("step", steps)

    straight = classify(job(tmp_path / "a"), lambda _: None, lambda: False)
    stopped = classify(job(tmp_path / "b"), told, lambda: True)
    assert (stopped["finished"], stopped["step"], stopped["card"]) == (False, 1, None)
    rest = classify(job(tmp_path / "b"), lambda _: None, lambda: False)
    assert rest["finished"]
    assert rest["best"] == straight["best"]
    ours, theirs = (load_file(tmp_path / run / "classifier.safetensors") for run in "ab")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_pseudo_masks_are_those_of_each_layer_and_hold_only_classes_of_the_label(
    microtome: Microtome, own: Path, stage_one: Path
) -> None:
    ran = microtome("segment", "pseudo-masks", own, "--model", stage_one.parent, "--json")
    assert ran.code == 0, ran.err
    found, labels = masks_in(own, "pseudo"), labels_of(own)
    assert list(found) == ran.document["arrays"]
    assert list(found) == ["pseudo_layer4", "pseudo_layer3", "pseudo_layer2"]
    for masks in found.values():
        for mask, label in zip(masks, labels, strict=True):
            held = set(np.unique(mask[mask < WHITE]).tolist())
            assert held <= set(np.flatnonzero(label == 1).tolist())
            assert (mask[:8] == WHITE).all()
    model = open_model(stage_one, "classifier")
    batch = PatchDataset(str(own), ["train-0"]).__getitems__([0, 1, 2])
    assert batch.labels is not None
    wanted = make_pseudo_masks(model, batch.pixels, batch.labels)
    for number, masks in enumerate(found.values()):
        assert np.array_equal(masks[:3], wanted[:, number].numpy())
    shares = ran.document["shares"]
    first = found["pseudo_layer4"]
    assert shares == pytest.approx([float((first == k).mean()) for k in range(WHITE + 1)])


def test_masks_are_made_once_and_those_of_another_classifier_are_kept(
    microtome: Microtome, own: Path, stage_one: Path, tmp_path: Path
) -> None:
    words = ("segment", "pseudo-masks", own, "--model", stage_one, "--json")
    assert microtome(*words).document["skipped"] == 0
    before = masks_in(own, "pseudo")
    assert microtome(*words).document["skipped"] == 2
    other = tmp_path / "other"
    short = ("--epochs", 1, "--seed", 5, "--out", other, "--quiet")
    assert microtome("segment", "classify", own, *CLASSIFY, *short).code == 0
    words = ("segment", "pseudo-masks", own, "--model", other)
    refused = microtome(*words)
    assert refused.code == 2
    assert "choose another --name, or --overwrite" in refused.err
    assert all(np.array_equal(before[name], masks_in(own, "pseudo")[name]) for name in before)
    assert microtome(*words, "--overwrite", "--quiet").code == 0
    store = Archive.open(str(own))["train-0"]
    about = about_masks(store, "pseudo_layer4")
    assert about is not None
    assert (
        about["classifier_sha256"]
        == open_model(other / "classifier.safetensors").card.weights_sha256
    )


def test_new_masks_are_not_taken_for_those_that_a_run_began_with(
    microtome: Microtome, own: Path, stage_one: Path, tmp_path: Path
) -> None:
    masks = ("segment", "pseudo-masks", own, "--overwrite", "--quiet", "--model")
    assert microtome(*masks, stage_one).code == 0
    words = ("segment", "train", own, *SEGMENT, *RATE, "--epochs", 1, "--out", tmp_path / "run")
    assert microtome(*words, "--quiet").code == 0
    other = tmp_path / "other"
    short = ("--epochs", 1, "--seed", 5, "--out", other, "--quiet")
    assert microtome("segment", "classify", own, *CLASSIFY, *short).code == 0
    assert microtome(*masks, other).code == 0
    refused = microtome(*words)
    assert refused.code == 2
    assert "began with other masks or weights than there are now" in refused.err
    assert microtome(*words, "--overwrite", "--quiet").code == 0


def test_masks_of_two_classifiers_are_not_mixed(
    microtome: Microtome, own: Path, stage_one: Path, tmp_path: Path
) -> None:
    masks = ("segment", "pseudo-masks", own, "--model", stage_one, "--quiet")
    assert microtome(*masks).code == 0
    store = Archive.open(str(own))["train-1"]
    for array in layers_of(store, ("pseudo",)):
        about = dict(about_masks(store, array) or {}) | {"classifier_sha256": "0" * 64}
        write_masks(store, array, list(PatchReader(store, array)), side_px=PX, about=about)
    refused = microtome("segment", "train", own, *SEGMENT, "--out", tmp_path / "run")
    assert refused.code == 2
    assert "were made by different classifiers" in refused.err


def test_masks_that_another_run_makes_are_left_to_it(
    microtome: Microtome, own: Path, stage_one: Path
) -> None:
    with Leases(Archive.open(str(own)).storage) as leases:
        assert leases.acquire("train-1@masks-pseudo")
        ran = microtome("segment", "pseudo-masks", own, "--model", stage_one)
        assert ran.code == 2
        assert "another run makes the masks of train-1 right now" in ran.err
        leases.release("train-1@masks-pseudo")
    assert microtome("segment", "pseudo-masks", own, "--model", stage_one, "--quiet").code == 0


def test_where_nothing_is_split_all_slides_teach_and_else_only_those_of_train(own: Path) -> None:
    assert slides_of([str(own)], None) == {str(own): ["train-0", "train-1"]}
    assert slides_of([str(own)], "val") == {str(own): ["val-0", "val-1"]}
    with pytest.raises(DataError, match=r"of the split 'night'.*there are test, train, val"):
        slides_of([str(own)], "night")


def test_pictures_of_masks_have_class_numbers_and_the_palette(
    microtome: Microtome, own: Path, stage_one: Path, tmp_path: Path
) -> None:
    words = ("--model", stage_one, "--png", tmp_path / "png", "--quiet")
    assert microtome("segment", "pseudo-masks", own, *words).code == 0
    store = Archive.open(str(own))["train-1"]
    expected = PatchReader(store, "pseudo_layer3")[2]
    with Image.open(tmp_path / "png" / "PM_layer3" / "train-1_000002.png") as picture:
        assert np.array_equal(np.array(picture), expected)
        colours = np.array(picture.convert("RGB"))
    palette = np.array([*open_model(stage_one).card.palette, (255, 255, 255)])
    assert np.array_equal(colours, palette[expected])


def test_where_white_is_tissue_no_pixel_is_background(
    microtome: Microtome, own: Path, tmp_path: Path
) -> None:
    words = ("--epochs", 2, "--no-white", "--out", tmp_path / "run", "--quiet")
    assert microtome("segment", "classify", own, *CLASSIFY, *words).code == 0
    words = ("--model", tmp_path / "run", "--quiet")
    assert microtome("segment", "pseudo-masks", own, *words).code == 0
    assert all((masks < WHITE).all() for masks in masks_in(own, "pseudo").values())


def test_stage_two_learns_from_pseudo_masks(
    microtome: Microtome, own: Path, stage_one: Path, tmp_path: Path
) -> None:
    words = ("--model", stage_one, "--quiet")
    assert microtome("segment", "pseudo-masks", own, *words).code == 0
    words = (*RATE, "--epochs", 12, "--out", tmp_path / "run", "--json")
    ran = microtome("segment", "train", own, *SEGMENT, *words)
    assert ran.code == 0, ran.err
    card = open_model(tmp_path / "run" / "segmenter.safetensors", "segmenter").card
    assert (card.classes, card.encoder) == (NAMES, "tu-test_resnet")
    assert ran.document["best"]["miou"] > 0.5
    test = ("--split", "test", "--model", tmp_path / "run", "--json")
    scores = microtome("segment", "evaluate", own, *test).document["scores"]["segmenter"]
    assert scores["without_background"]["miou"]["value"] > 0.5
    again = microtome("segment", "train", own, *SEGMENT, *words[:-1])
    assert "finished before" in again.out


def test_stage_two_starts_from_the_trunk_of_stage_one(
    microtome: Microtome, tissues: Path, stage_one: Path, tmp_path: Path
) -> None:
    words = ("--masks", "masks", "--epochs", 1, "--lr", 1e-9, "--out", tmp_path / "run")
    words += ("--encoder-weights", stage_one, "--keep", "last", "--quiet")
    assert microtome("segment", "train", tissues, *SEGMENT, *words).code == 0
    trunk = load_file(stage_one)
    found = load_file(tmp_path / "run" / "segmenter.safetensors")
    weights = [name for name in found if name.endswith("layer2.0.conv1.weight")]
    assert len(weights) == 1
    theirs = trunk["trunk.network.layer2.0.conv1.weight"]
    assert torch.allclose(found[weights[0]], theirs, atol=1e-6)
