"""Trained models as files, with what their cards refuse."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from models.encoders import open_encoder
from models.errors import EncoderError, MismatchError, WeightsError
from models.segmentation.backbone import open_trunk
from models.segmentation.card import BCSS_COLOURS, LUAD_COLOURS, TissueCard, usual_colours
from models.segmentation.classifier import Classifier
from models.segmentation.model import KEY, TissueModel, open_model, read_tissue_card, save_model
from models.segmentation.network import SegmenterPlan, build_segmenter
from models.segmentation.resnet38 import ResNet38

LUAD = ("TE", "NEC", "LYM", "TAS")


def card(**changes: Any) -> TissueCard:
    known: dict[str, Any] = {
        "name": "tiny",
        "role": "classifier",
        "architecture": "timm:resnet10t",
        "classes": ("a", "b"),
        "patch_px": 64,
    }
    return TissueCard(**known | changes)


def _classifier() -> Classifier:
    return Classifier(open_trunk("resnet10t", "random:1").trunk, 2, seed=1).eval()


def test_a_classifier_comes_back_as_it_was(tmp_path: Path) -> None:
    network, path = _classifier(), tmp_path / "c.safetensors"
    stored = save_model(path, network, card(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.1)))
    found = open_model(path, "classifier")
    assert found.card == stored == read_tissue_card(path)
    assert set(stored.versions) == {"torch", "timm", "segmentation-models-pytorch"}
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    images = found.prepare(pixels)
    by_hand = pixels.permute(0, 3, 1, 2) / 255 - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(images, by_hand / torch.tensor([0.2, 0.2, 0.1]).view(3, 1, 1))
    assert not found.training
    with torch.no_grad():
        assert torch.equal(found(images), network(images))


def test_a_segmenter_comes_back_as_it_was(tmp_path: Path) -> None:
    options = {"decoder_channels": [8, 8, 8, 8, 8]}
    network = build_segmenter(SegmenterPlan("unet", "resnet18", options), 2, seed=3)
    about = card(role="segmenter", architecture="unet", encoder="resnet18", options=options)
    save_model(tmp_path / "s.safetensors", network, about)
    found = open_model(tmp_path / "s.safetensors", "segmenter")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found(images), network(images))


@pytest.mark.slow
def test_resnet38_comes_back_as_it_was(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = Classifier(ResNet38(), 2)
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.fill_(0.01)
    path = tmp_path / "r.safetensors"
    save_model(path, network, card(architecture="resnet38"))
    found = open_model(path)
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(
            found.network.state_dict().values(), network.state_dict().values(), strict=True
        )
    )


def test_files_that_are_no_such_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(WeightsError, match=r"there is no model .*; was its training finished"):
        open_model(path)
    save_model(path, _classifier(), card())
    with pytest.raises(WeightsError, match="holds a classifier, and a segmenter is needed"):
        open_model(path, "segmenter")
    tensors = load_file(path)
    stored = read_tissue_card(path)
    tensors["fc8.weight"] += 1
    save_file(tensors, path, {KEY: stored.model_dump_json()})
    with pytest.raises(WeightsError, match="are not those of its card"):
        open_model(path)
    save_file(tensors, path)
    with pytest.raises(WeightsError, match="has no card of a tissue model"):
        open_model(path)
    save_file(tensors, path, {KEY: '{"name": "old"}'})
    with pytest.raises(WeightsError, match="has a card of another version"):
        open_model(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="is damaged or cut short"):
        open_model(path)


def test_a_card_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_model(path, _classifier(), card(architecture="timm:resnet18"))
    with pytest.raises(WeightsError, match="does not hold"):
        open_model(path)
    with pytest.raises(EncoderError, match="says not which network it is of"):
        open_encoder(str(path))


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    network = _classifier()
    network.fc8.weight.data[0] = torch.nan
    with pytest.raises(WeightsError, match=r"fc8.weight is NaN or infinite"):
        save_model(tmp_path / "c.safetensors", network, card())
    assert not list(tmp_path.iterdir())


def test_published_classes_have_their_colours_and_others_different_ones() -> None:
    assert card(classes=LUAD).palette == LUAD_COLOURS
    assert card(classes=("TUM", "STR", "LYM", "NEC")).palette == BCSS_COLOURS
    assert card(colours=((1, 2, 3), (4, 5, 6))).palette == ((1, 2, 3), (4, 5, 6))
    many = usual_colours(tuple(f"class{i}" for i in range(30)))
    assert len(set(many)) == 30
    assert all(0 <= value <= 255 for colour in many for value in colour)


def test_cards_refuse_other_classes_and_resolutions() -> None:
    given = card(mpp=0.5)
    given.require_classes(("a", "b"), "the archive")
    with pytest.raises(MismatchError, match="tiny knows a, b; the archive has b, a, and names and"):
        given.require_classes(("b", "a"), "the archive")
    assert given.require_mpp(None) == given.require_mpp(0.51) == []
    with pytest.raises(MismatchError, match=r"the patches have 1 um/px, tiny wants 0.5; cut at"):
        given.require_mpp(1.0)
    assert given.require_mpp(1.0, force=True) == ["the patches have 1 um/px, tiny wants 0.5"]
    with pytest.raises(ValidationError, match="classes need different names"):
        card(classes=("a", "a"))
    with pytest.raises(ValidationError, match="2 classes need a colour each"):
        card(colours=((1, 2, 3),))


def test_a_model_moves_with_its_scales() -> None:
    model = TissueModel(_classifier(), card())
    assert model.to(torch.float64).scale.dtype == torch.float64
