"""What `microtome segment evaluate` refuses, in one sentence that says what to do."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.encoders import open_encoder
from models.encoders.checkpoint import save_checkpoint
from models.segmentation.model import open_model, save_model
from models.segmentation.network import SegmenterPlan, build_segmenter
from models.segmentation.storing import remove_masks, write_masks
from tests.workflows.conftest import Microtome
from tests.workflows.segmenting.planted import (
    PX,
    card,
    patches,
    save_classifier,
    save_segmenter,
    write_patches,
)
from tiling.store import Archive


@pytest.fixture
def own(truth: Path, tmp_path: Path) -> Path:
    """A copy of the archive for a test to change."""
    return Path(shutil.copytree(truth, tmp_path / "own.zarr"))


def refusal(microtome: Microtome, *words: object) -> str:
    ran = microtome("segment", "evaluate", *words, "--quiet")
    assert ran.code == 2, ran.out
    assert ran.err.count("\n") == 1
    return str(ran.err)


def replace_masks(location: Path, side_px: int, fill: int) -> None:
    archive = Archive.open(str(location))
    for store in archive.stores():
        masks = [np.full((side_px, side_px), fill, np.uint8) for _ in range(len(store))]
        write_masks(store, "masks", masks, side_px=side_px)


def test_an_archive_is_needed(microtome: Microtome, models: Path, tmp_path: Path) -> None:
    told = refusal(microtome, "--model", models)
    assert "--archives is needed" in told
    told = refusal(microtome, tmp_path / "none.zarr", "--model", models)
    assert "no archive at" in told


def test_archives_without_masks_are_refused(microtome: Microtome, models: Path, own: Path) -> None:
    archive = Archive.open(str(own))
    remove_masks(archive.storage, "slide-p2", "masks")
    told = refusal(microtome, own, "--model", models)
    assert "slide-p2 has no array 'masks' of masks; import it with its masks" in told


def test_masks_that_know_no_pixel_are_refused(
    microtome: Microtome, models: Path, own: Path
) -> None:
    replace_masks(own, PX, 255)
    told = refusal(microtome, own, "--model", models)
    assert f"none of the 5 patches of {own} has a mask: all pixels are 255" in told


def test_masks_of_another_size_are_refused(microtome: Microtome, models: Path, own: Path) -> None:
    replace_masks(own, PX // 2, 0)
    told = refusal(microtome, own, "--model", models)
    assert (
        "slide-p1/masks is uint8 (3, 32, 32); masks of these patches are uint8 (3, 64, 64)" in told
    )


def test_masks_of_unknown_classes_are_refused(
    microtome: Microtome, models: Path, own: Path
) -> None:
    replace_masks(own, PX, 4)
    told = refusal(microtome, own, "--model", models)
    assert f"{own}: a true mask holds class 4; of 3 classes there are 0 to 2, and 3 for" in told


@pytest.mark.parametrize("names", ["green,red,blue", "red,green,violet"])
def test_other_classes_are_refused(
    names: str, microtome: Microtome, models: Path, tmp_path: Path
) -> None:
    table = write_patches(tmp_path / "files", patches())
    labels = ("--labels", "column:red,green,blue", "--classes", names)
    words = ("--out", tmp_path / "a.zarr", *labels, "--quiet")
    assert microtome("import", "patches", table, *words).code == 0
    told = refusal(microtome, tmp_path / "a.zarr", "--model", models)
    assert "planted segmenter knows red, green, blue; " in told
    assert f"has {names.replace(',', ', ')}, and names and order must be the same" in told


def test_a_classifier_of_other_classes_is_refused(
    microtome: Microtome, models: Path, truth: Path, tmp_path: Path
) -> None:
    save_classifier(tmp_path / "c.safetensors", classes=("red", "blue", "green"))
    words = ("--model", models, "--classifier", tmp_path / "c.safetensors")
    told = refusal(microtome, truth, *words)
    assert "the classifier planted classifier has red, blue, green" in told


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mpp": 0.5}, "the patches have 1 um/px, planted segmenter wants 0.5; cut at that"),
        ({"patch_px": 224}, "the patches have 64 px, planted segmenter learned from 224; import"),
    ],
    ids=["resolution", "size"],
)
def test_patches_that_a_model_does_not_know_are_refused_unless_forced(
    changes: dict[str, Any], sentence: str, microtome: Microtome, truth: Path, tmp_path: Path
) -> None:
    save_segmenter(tmp_path / "s.safetensors", **changes)
    told = refusal(microtome, truth, "--model", tmp_path / "s.safetensors")
    assert sentence in told
    assert "use --force" in told


def test_a_size_that_the_network_cannot_take_is_refused_though_forced(
    microtome: Microtome, tmp_path: Path
) -> None:
    told = card("segmenter", architecture="linknet", options={})  # its stride is 32
    network = build_segmenter(SegmenterPlan("linknet", told.encoder, {}), 3)
    save_model(tmp_path / "s.safetensors", network, told)
    small = {
        name: (pixels[:31, :31], None if truth is None else truth[:31, :31])
        for name, (pixels, truth) in patches().items()
    }
    table = write_patches(tmp_path / "files", small)
    words = ("--out", tmp_path / "a.zarr", "--labels", "none", "--quiet")
    assert microtome("import", "patches", table, *words).code == 0
    words = ("--model", tmp_path / "s.safetensors", "--force")
    sentence = refusal(microtome, tmp_path / "a.zarr", *words)
    assert "planted segmenter cannot take patches of 31 px" in sentence
    assert "divisible by 32" in sentence


def test_files_that_are_no_tissue_models_are_refused(
    microtome: Microtome, truth: Path, tmp_path: Path
) -> None:
    encoder = open_encoder("resnet10t", "random:0")
    save_checkpoint(tmp_path / "encoder.safetensors", encoder, encoder.card)
    told = refusal(microtome, truth, "--model", tmp_path / "encoder.safetensors")
    assert "encoder.safetensors has no card of a tissue model; it is another kind of file" in told
    told = refusal(microtome, truth, "--model", tmp_path / "nowhere")
    assert f"there is no model {tmp_path / 'nowhere'}" in told


@pytest.mark.parametrize(
    ("model", "words", "sentence"),
    [
        ("segmenter", ["--gate"], "--gate needs a classifier, and none lies beside"),
        ("segmenter", ["--cam"], "--cam needs a classifier, and none lies beside"),
        ("segmenter", ["--split", "train"], "is of split 'train'; it has test, val"),
        ("segmenter", ["--gate-epsilon", "1"], "--gate-epsilon"),
        ("segmenter", ["--device", "cuda:99"], "no device 'cuda:99' here"),
        ("classifier", ["--gate"], "--gate goes with a segmenter, and"),
        ("classifier", ["--classifier", "x"], "--classifier goes with a segmenter, and"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    model: str,
    words: list[str],
    sentence: str,
    microtome: Microtome,
    truth: Path,
    models: Path,
    tmp_path: Path,
) -> None:
    alone = tmp_path / f"{model}.safetensors"
    shutil.copy(models / alone.name, alone)
    assert sentence in refusal(microtome, truth, "--model", alone, *words)


def test_a_segmenter_without_a_classifier_is_scored_without_the_gate_and_that_is_told(
    microtome: Microtome, truth: Path, models: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "segmenter.safetensors"
    shutil.copy(models / alone.name, alone)
    found = microtome("segment", "evaluate", truth, "--model", alone, "--json", "--quiet").document
    assert list(found["scores"]) == ["segmenter"]
    assert found["patch_level"] is None
    assert f"no classifier beside {alone}: no gate" in found["notes"]


def test_networks_that_give_nan_are_refused(
    microtome: Microtome, truth: Path, models: Path, tmp_path: Path
) -> None:
    whole = open_model(models / "segmenter.safetensors")
    whole.network.segmentation_head[0].bias.data.fill_(torch.finfo(torch.float32).max)
    whole.network.segmentation_head[0].weight.data.fill_(torch.finfo(torch.float32).max)
    save_model(tmp_path / "s.safetensors", whole.network, whole.card)
    told = refusal(microtome, truth, "--model", tmp_path / "s.safetensors")
    assert "planted segmenter gave NaN or infinity" in told
