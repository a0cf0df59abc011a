"""Our own checkpoints: saved, opened by path, checked, replaced whole."""

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models.encoders import Encoder, open_encoder, read_card, save_checkpoint
from models.errors import EncoderError, WeightsError


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return open_encoder("test_vit", "random:4", input_px=64)


@pytest.fixture
def saved(encoder: Encoder, tmp_path: Path) -> Path:
    trained = {"name": "mine", "method": "mocov3", "mpp": 0.5, "data": ("cohort-a",)}
    path = tmp_path / "run" / "encoder.safetensors"
    save_checkpoint(path, encoder, encoder.card.model_copy(update=trained))
    return path


def test_what_was_saved_is_opened_by_its_path(encoder: Encoder, saved: Path) -> None:
    opened = open_encoder(str(saved))
    card = opened.card
    assert (card.name, card.method, card.mpp, card.data) == ("mine", "mocov3", 0.5, ("cohort-a",))
    assert (card.input_px, card.architecture_options) == (64, {"img_size": 64})
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(opened(images), encoder(images))
    assert card.weights_sha256 == encoder.card.weights_sha256  # of the same tensors


def test_a_folder_stands_for_the_checkpoint_in_it(saved: Path) -> None:
    assert open_encoder(str(saved.parent)).card == open_encoder(str(saved)).card
    assert open_encoder("test_vit", saved.parent).card.method == "mocov3"


def test_as_weights_it_brings_its_card_but_not_its_name(saved: Path) -> None:
    card = open_encoder("test_vit", saved, "cls+mean").card
    assert (card.name, card.input_px, card.mpp, card.dim) == ("test_vit", 64, 0.5, 128)


def test_another_layer_and_size_can_be_asked_for(saved: Path) -> None:
    card = open_encoder(str(saved), layer="mean", input_px=96).card
    assert (card.layer, card.input_px, card.encoder_id) == ("mean", 96, "mine.mean")


def test_what_last_means_stays_with_the_checkpoint(encoder: Encoder, tmp_path: Path) -> None:
    card = encoder.card.model_copy(update={"usual": "cls+mean"})
    save_checkpoint(tmp_path, encoder, card)
    opened = open_encoder(str(tmp_path)).card
    assert (opened.dim, opened.usual) == (128, "cls+mean")


def test_a_bare_network_and_a_folder_can_be_given(encoder: Encoder, tmp_path: Path) -> None:
    stored = save_checkpoint(tmp_path / "new", encoder.network, encoder.card)
    path = tmp_path / "new" / "encoder.safetensors"
    assert read_card(path) == stored
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["microtome"]) == stored.document()
        assert set(file.keys()) == set(encoder.network.state_dict())


def test_saving_again_replaces_the_file_and_leaves_no_other(encoder: Encoder, saved: Path) -> None:
    before = saved.read_bytes()
    other = open_encoder("test_vit", "random:5", input_px=64)
    save_checkpoint(saved, other, other.card)
    assert saved.read_bytes() != before
    assert [file.name for file in saved.parent.iterdir()] == ["encoder.safetensors"]


def test_equal_encoders_make_equal_files(encoder: Encoder, saved: Path, tmp_path: Path) -> None:
    twin = open_encoder("test_vit", "random:4", input_px=64)
    paths = [tmp_path / name / "encoder.safetensors" for name in ("a", "b")]
    for path, each in zip(paths, (encoder, twin), strict=True):
        save_checkpoint(path, each, each.card)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_flipped_bit_is_found(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    (header,) = struct.unpack("<Q", data[:8])
    data[8 + header + 5_000] ^= 1
    saved.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="is damaged: its tensors are not those"):
        open_encoder(str(saved))


def test_another_architecture_is_refused_by_the_card(saved: Path) -> None:
    with pytest.raises(WeightsError, match="holds weights of timm:test_vit, not of test_resnet"):
        open_encoder("test_resnet", saved)


def test_a_file_without_a_card_needs_the_name_of_its_network(
    encoder: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file(encoder.network.state_dict(), path)
    with pytest.raises(EncoderError, match=r"--encoder NAME --weights .*foreign\.safetensors"):
        open_encoder(str(path))


def test_a_card_of_another_version_is_told(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no dict
    save_file(tensors, saved, {"microtome": json.dumps({"name": "x", "novelty": 1})})
    with pytest.raises(WeightsError, match="is not one that this version reads"):
        open_encoder(str(saved))


def test_a_copy_elsewhere_is_the_same_encoder(saved: Path, tmp_path: Path) -> None:
    copied = shutil.copy(saved, tmp_path / "copy.safetensors")
    assert open_encoder(str(copied)).card.identity == open_encoder(str(saved)).card.identity


def test_a_place_that_cannot_be_written_is_told(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WeightsError, match=r"cannot write .*encoder\.safetensors"):
        save_checkpoint(tmp_path / "file" / "x" / "encoder.safetensors", encoder, encoder.card)
