"""What stages are asked at once, against the functions that ask one thing at a time."""

import numpy as np
import pytest
import torch

from models.errors import MismatchError
from models.segmentation.classifier import _agreement
from models.segmentation.evaluating import (
    Evaluator,
    Stages,
    choose_bf16,
    held_classes,
    patch_agreement,
)
from models.segmentation.gate import Gate
from models.segmentation.model import TissueModel
from models.segmentation.predict import PUBLISHED, find_presence, make_cam_masks, predict_classes
from tests.models.segmentation.test_model import card
from tests.models.segmentation.tiny import SIDE, TinySegmenter, classifier

CLASSES = ("a", "b", "c")
CPU = torch.device("cpu")


def _stages(gate: Gate = PUBLISHED) -> Stages:
    first = TissueModel(classifier(), card(classes=CLASSES)).eval()
    second = TissueModel(TinySegmenter(), card(classes=CLASSES, role="segmenter")).eval()
    return Stages(("cam", "segmenter", "gated"), first, second, gate)


def _pixels(count: int = 6) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 255, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return torch.from_numpy(drawn)


@pytest.mark.parametrize("on", ["probabilities", "logits"])
def test_all_ways_at_once_say_what_each_says_alone(on: str) -> None:
    pixels = _pixels()
    presence = find_presence(_stages().classifier, pixels)
    stages = _stages(Gate(on=on, epsilon=float(presence[:, 2].median())))
    found = Evaluator(stages, CPU).ask(pixels)
    first, second = stages.classifier, stages.segmenter
    assert (found.masks["cam"] == make_cam_masks(first, pixels).numpy()).all()
    gated = predict_classes(second, pixels, classifier=first, gate=stages.gate)
    assert (found.masks["gated"] == gated.numpy()).all()
    plain = predict_classes(second, pixels, gate=Gate(enabled=False))
    assert (found.masks["segmenter"] == plain.numpy()).all()
    assert not np.array_equal(found.masks["segmenter"], found.masks["gated"])
    np.testing.assert_allclose(found.presence, presence.numpy())


def test_bf16_is_close_to_float32_and_scores_are_float32() -> None:
    exact = Evaluator(_stages(), CPU).ask(_pixels())
    rough = Evaluator(_stages(), CPU, bf16=True).ask(_pixels())
    assert rough.presence.dtype == np.float32
    np.testing.assert_allclose(rough.presence, exact.presence, atol=0.02)
    assert not np.array_equal(rough.presence, exact.presence)
    for way in ("cam", "segmenter"):
        assert (rough.masks[way] == exact.masks[way]).mean() > 0.9
    assert not choose_bf16("auto", CPU)
    assert choose_bf16("bf16", CPU)


def test_stages_that_are_missing_or_of_other_classes_are_refused() -> None:
    whole = _stages()
    with pytest.raises(ValueError, match="gated needs a classifier"):
        Stages(("gated",), None, whole.segmenter)
    with pytest.raises(ValueError, match="segmenter needs a segmenter"):
        Stages(("segmenter",), whole.classifier)
    other = TissueModel(classifier(), card(name="other", classes=("a", "c", "b")))
    with pytest.raises(MismatchError, match="the classifier other has a, c, b"):
        Stages(("gated",), other, whole.segmenter)


def test_agreement_on_patches_is_that_of_training_and_of_hand() -> None:
    presence = np.array([[0.9, 0.2, 0.6], [0.4, 0.5, 0.1], [0.9, 0.9, 0.9], [0.1, 0.1, 0.9]])
    labels = np.array([[1, 0, 0], [0, 0, 0], [-1, -1, -1], [1, -1, -1]])
    found = patch_agreement(presence, labels)
    assert found.known.tolist() == [True, True, False, True]
    assert found.exact.tolist() == [False, True, False, False]
    # of the first one of two, of the second nothing is found and nothing is there
    assert found.jaccard[found.known].tolist() == [0.5, 1.0, 0.0]
    exact, jaccard = _agreement(torch.from_numpy(presence).logit(), torch.from_numpy(labels))
    assert found.exact.sum() == exact
    assert found.jaccard[found.known].sum() == pytest.approx(float(jaccard))


def test_masks_say_which_classes_a_patch_holds() -> None:
    masks = np.full((3, 4, 4), 2, np.uint8)
    masks[0, 0, 0], masks[1] = 1, 255
    assert held_classes(masks, 2).tolist() == [[0, 1], [-1, -1], [0, 0]]
