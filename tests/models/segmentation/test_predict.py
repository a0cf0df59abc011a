"""What trained models say of patches, end to end on tiny networks."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.errors import MismatchError
from models.segmentation.cam import grad_cam
from models.segmentation.gate import Gate
from models.segmentation.model import TissueModel
from models.segmentation.predict import (
    find_presence,
    make_cam_masks,
    make_pseudo_masks,
    predict_classes,
    predict_probabilities,
)
from models.segmentation.pseudo import pseudo_masks, white_pixels
from tests.models.segmentation.test_model import card
from tests.models.segmentation.tiny import SIDE, TinySegmenter, classifier

CLASSES = ("a", "b", "c")


def _models(*, white: bool = True) -> tuple[TissueModel, TissueModel]:
    first = TissueModel(classifier(), card(classes=CLASSES, white=white)).eval()
    second = TissueModel(TinySegmenter(), card(classes=CLASSES, role="segmenter")).eval()
    return first, second


def _pixels(count: int = 4) -> Tensor:
    pixels = np.random.default_rng(0).integers(0, 200, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:, :8, :8] = 255
    return torch.from_numpy(pixels)


LABELS = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.int8)


def test_pseudo_masks_are_of_the_last_layer_first_with_white_as_the_card_says() -> None:
    for white in (True, False):
        model, _ = _models(white=white)
        pixels = _pixels()
        found = make_pseudo_masks(model, pixels, LABELS)
        assert found.shape == (4, 3, SIDE, SIDE)
        plane = torch.from_numpy(white_pixels(pixels.numpy())) if white else None
        for layer, cams in zip(
            (2, 1, 0), grad_cam(model.network, model.prepare(pixels)), strict=True
        ):
            expected = pseudo_masks(cams, LABELS, (SIDE, SIDE), white=plane).masks
            assert torch.equal(found[:, layer], expected)
        assert (found[:, :, :8, :8] == 3).all() == white


def test_probabilities_and_classes_are_gated_by_stage_1() -> None:
    first, second = _models()
    pixels = _pixels()
    presence = find_presence(first, pixels)
    torch.testing.assert_close(presence, first(first.prepare(pixels)).sigmoid())
    gate = Gate(epsilon=float(presence.median()))
    found = predict_probabilities(second, pixels, classifier=first, gate=gate)
    logits = second(second.prepare(pixels))
    assert torch.equal(found, gate.probabilities(logits, presence))
    classes = predict_classes(second, pixels, classifier=first, gate=gate)
    assert torch.equal(classes, gate.classes(logits, presence))
    off = predict_classes(second, pixels, gate=Gate(enabled=False))
    assert torch.equal(off, logits.argmax(dim=1))
    with pytest.raises(ValueError, match="give stage 1's, or switch the gate off"):
        predict_classes(second, pixels)


def test_maps_alone_give_a_class_everywhere() -> None:
    found = make_cam_masks(_models()[0], _pixels())
    assert found.shape == (4, SIDE, SIDE)
    assert found.max() < 3


def test_stages_of_different_classes_are_refused() -> None:
    first, second = _models()
    other = TissueModel(first.network, card(classes=("a", "c", "b")))
    with pytest.raises(MismatchError, match="the classifier knows a, c, b, the segmenter a, b, c"):
        predict_classes(second, _pixels(), classifier=other)
