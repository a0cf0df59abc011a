"""Folders of runs with small networks of drawn weights, which tell places apart."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.segmentation.backbone import build_trunk
from models.segmentation.card import TissueCard
from models.segmentation.classifier import Classifier
from models.segmentation.model import TissueModel, save_model
from models.segmentation.network import SegmenterPlan, build_segmenter

CLASSES = ("tumour", "stroma", "glass & fat")
OPTIONS = {"encoder_depth": 3, "decoder_channels": [16, 8, 8]}
TRUNK, ENCODER = "timm:test_resnet", "tu-test_resnet"


def make_run(folder: Path, pixels: Tensor, *, seed: int = 0, **changes: Any) -> Path:
    """Write a segmenter and a classifier into a folder, as a run does.

    Args:
        folder: is made.
        pixels: uint8 (B, H, W, 3), of which all classes have a part.
        seed: of the weights.
        changes: of both cards.
    """
    folder.mkdir()
    known = {"classes": CLASSES, "patch_px": 64, "mpp": 0.5} | changes
    plan = SegmenterPlan("unet", ENCODER, OPTIONS)
    segmenter = build_segmenter(plan, len(known["classes"]), seed=seed)
    card = TissueCard(
        name="Tiny U-Net",
        role="segmenter",
        architecture="unet",
        encoder=ENCODER,
        options=OPTIONS,
        **known,
    )
    spread_masks(TissueModel(segmenter, card), segmenter.segmentation_head[0], pixels)
    save_model(folder / "segmenter.safetensors", segmenter, card)
    make_classifier(folder / "classifier.safetensors", pixels, seed=seed, **known)
    return folder


def make_classifier(path: Path, pixels: Tensor, *, seed: int = 0, **known: Any) -> None:
    """Write a classifier of which every class is absent from some images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = Classifier(build_trunk(TRUNK, {}), len(known["classes"]), seed=seed).eval()
    card = TissueCard(name="Tiny net", role="classifier", architecture=TRUNK, **known)
    spread_presence(TissueModel(classifier, card), classifier, pixels)
    save_model(path, classifier, card)


@torch.no_grad()
def spread_masks(model: TissueModel, head: nn.Conv2d, pixels: Tensor, std: float = 3.0) -> None:
    """Let each class's logits have a mean of 0 and so large a standard deviation."""
    logits = model.eval()(model.prepare(pixels)).transpose(0, 1).flatten(1)
    scale = std / logits.std(dim=1)
    assert head.bias is not None
    head.weight.mul_(scale[:, None, None, None])
    head.bias.copy_((head.bias - logits.mean(dim=1)) * scale)


@torch.no_grad()
def spread_presence(
    model: TissueModel, network: Classifier, pixels: Tensor, std: float = 4.0
) -> None:
    """The same for a classifier, whose head has no bias: weights at right angles to the mean."""
    features = network.trunk(model.eval().prepare(pixels))[-1].mean(dim=(2, 3))
    mean, weight = features.mean(dim=0), network.fc8.weight.flatten(1)
    turned = weight - (weight @ mean / (mean @ mean))[:, None] * mean
    turned *= (std / (features @ turned.T).std(dim=0))[:, None]
    network.fc8.weight.copy_(turned[:, :, None, None])
