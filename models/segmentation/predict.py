"""What trained models say of patches: masks for the next stage, classes, probabilities."""

from typing import cast

import torch
from torch import Tensor

from models.errors import MismatchError
from models.segmentation.cam import grad_cam
from models.segmentation.classifier import Classifier
from models.segmentation.gate import Gate
from models.segmentation.model import TissueModel
from models.segmentation.pseudo import predicted_masks, pseudo_masks, white_pixels

PUBLISHED = Gate()


@torch.no_grad()
def find_presence(classifier: TissueModel, pixels: Tensor) -> Tensor:
    """Give the probability of each class in each patch, float32 (B, C).

    Args:
        classifier: of stage 1, in evaluation mode.
        pixels: uint8 (B, H, W, 3) on its device.
    """
    found: Tensor = classifier(classifier.prepare(pixels))
    return found.float().sigmoid()


def make_pseudo_masks(classifier: TissueModel, pixels: Tensor, labels: Tensor) -> Tensor:
    """Give masks of all layers, the last first as stage 2 wants them, uint8 (B, M, H, W).

    White is background where the classifier's card says so; C is background or nothing known.

    Args:
        classifier: of stage 1, in evaluation mode.
        pixels: uint8 (B, H, W, 3) on its device.
        labels: 1, 0 or -1 per class, (B, C): true ones, not predicted (source).
    """
    size = (pixels.shape[1], pixels.shape[2])
    cams = grad_cam(cast(Classifier, classifier.network), classifier.prepare(pixels))
    white = torch.from_numpy(white_pixels(pixels.cpu().numpy())) if classifier.card.white else None
    return torch.stack(
        [pseudo_masks(maps, labels, size, white=white).masks for maps in reversed(cams)], dim=1
    )


def make_cam_masks(classifier: TissueModel, pixels: Tensor) -> Tensor:
    """Give what the last layer's maps alone say, uint8 (B, H, W): the check of stage 1."""
    cams = grad_cam(cast(Classifier, classifier.network), classifier.prepare(pixels))
    presence = find_presence(classifier, pixels)
    return predicted_masks(cams[-1], presence, (pixels.shape[1], pixels.shape[2]))


@torch.no_grad()
def predict_probabilities(
    segmenter: TissueModel,
    pixels: Tensor,
    *,
    classifier: TissueModel | None = None,
    gate: Gate = PUBLISHED,
) -> Tensor:
    """Give class probabilities of pixels, float32 (B, C, H, W); 0 where the gate removes a class.

    Args:
        segmenter: of stage 2, in evaluation mode.
        pixels: uint8 (B, H, W, 3) on the models' device.
        classifier: of stage 1; may be left out where the gate is off.
        gate: what becomes of classes that stage 1 does not see.

    Raises:
        MismatchError: the two know other classes.
        ValueError: the gate is on, and there is no classifier.
    """
    presence = _presence(segmenter, classifier, gate, pixels)
    return gate.probabilities(segmenter(segmenter.prepare(pixels)), presence)


@torch.no_grad()
def predict_classes(
    segmenter: TissueModel,
    pixels: Tensor,
    *,
    classifier: TissueModel | None = None,
    gate: Gate = PUBLISHED,
) -> Tensor:
    """Give the class of each pixel, uint8 (B, H, W); arguments as of `predict_probabilities`."""
    presence = _presence(segmenter, classifier, gate, pixels)
    return gate.classes(segmenter(segmenter.prepare(pixels)), presence)


def _presence(
    segmenter: TissueModel, classifier: TissueModel | None, gate: Gate, pixels: Tensor
) -> Tensor | None:
    if classifier is None or not gate.enabled:
        return None
    if classifier.card.classes != segmenter.card.classes:
        raise MismatchError(
            f"the classifier knows {', '.join(classifier.card.classes)}, the segmenter "
            f"{', '.join(segmenter.card.classes)}; take both from one run"
        )
    return find_presence(classifier, pixels)
