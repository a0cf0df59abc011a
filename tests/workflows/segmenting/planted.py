"""Networks in which colour decides the class, and patches whose scores are known by hand.

Patches of 64 px, classes red, green, blue, and background, which is white:

    A  p1  left 30 columns red, 2 columns black without a mask, right half green
    B  p1  red, with 8 x 8 px of blue that the truth calls red
    C  p2  green; the truth calls the lower half red
    D  p2  upper half red, lower half white, which is background
    E  p1  red, without a mask
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from models.segmentation.backbone import open_trunk
from models.segmentation.card import TissueCard
from models.segmentation.classifier import Classifier
from models.segmentation.model import save_model
from models.segmentation.network import SegmenterPlan, build_segmenter

PX = 64
CLASSES = ("red", "green", "blue")
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
LABELS = {"A": (1, 1, 0), "B": (1, 0, 0), "C": (1, 1, 0), "D": (1, 0, 0), "E": (1, 0, 0)}
PATIENTS = {"A": "p1", "B": "p1", "C": "p2", "D": "p2", "E": "p1"}
SPLITS = {"p1": "val", "p2": "test"}

# pixels by true class (rows) and predicted class, background last
UNGATED = [[8000, 2048, 64, 0], [0, 4096, 0, 0], [0, 0, 0, 0], [2048, 0, 0, 0]]
GATED = [[8064, 2048, 0, 0], [0, 4096, 0, 0], [0, 0, 0, 0], [2048, 0, 0, 0]]


def patches() -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Pixels and truth of every patch."""
    pixels = {name: np.zeros((PX, PX, 3), np.uint8) for name in "ABCDE"}
    truth = {name: np.zeros((PX, PX), np.uint8) for name in "ABCDE"}
    pixels["A"][:, :30], pixels["A"][:, 32:] = RED, GREEN
    truth["A"][:, 30:32], truth["A"][:, 32:] = 255, 1
    pixels["B"][:], pixels["B"][8:16, 8:16] = RED, BLUE
    pixels["C"][:], truth["C"][:32] = GREEN, 1
    pixels["D"][:32], pixels["D"][32:], truth["D"][32:] = RED, WHITE, 3
    pixels["E"][:] = RED
    return {name: (pixels[name], None if name == "E" else truth[name]) for name in "ABCDE"}


def write_patches(folder: Path, found: dict[str, Any], **columns: Any) -> Path:
    """Write images, masks and the table that `microtome import patches` reads."""
    folder.mkdir()
    rows = []
    for name, (pixels, truth) in found.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
        if truth is not None:
            Image.fromarray(truth).save(folder / f"{name}-mask.png")
        patient = PATIENTS[name]
        row = {"file": f"{name}.png", "mask": f"{name}-mask.png" if truth is not None else ""}
        row |= {"slide_id": f"slide-{patient}", "patient": patient, "split": SPLITS[patient]}
        row |= {"mpp": 1.0} | dict(zip(CLASSES, LABELS[name], strict=True))
        rows.append(row | columns)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder / "table.csv"


def card(role: str, **changes: Any) -> TissueCard:
    """Of a planted network."""
    known = {"name": f"planted {role}", "role": role, "classes": CLASSES, "patch_px": PX}
    colours = ((205, 51, 51), (0, 200, 0), (65, 105, 225))
    kind: dict[str, Any] = {"architecture": "timm:test_resnet"}
    if role == "segmenter":
        options = {"encoder_depth": 2, "decoder_channels": [8, 4]}
        kind = {"architecture": "unet", "encoder": "tu-test_resnet", "options": options}
    return TissueCard(**(known | kind | {"mpp": 1.0, "colours": colours} | changes))


def save_segmenter(path: Path, **changes: Any) -> None:
    """Each class has 10 times its colour as its logit; pixels are seen in blocks of 2 x 2."""
    told = card("segmenter", **changes)
    network = build_segmenter(SegmenterPlan(told.architecture, told.encoder, told.options), 3)
    _clear(network)
    _pass_colours(network.encoder.model.conv1)
    first, second = network.decoder.blocks
    _pass(first.conv1[0], shift=32)  # what comes beside it from the encoder
    for conv in (first.conv2[0], second.conv1[0], second.conv2[0]):
        _pass(conv)
    head = network.segmentation_head[0]
    _pass(head, weight=10.0, channels=3)
    save_model(path, network, told)


def save_classifier(path: Path, **changes: Any) -> None:
    """The logit of each class is 40 times its mean colour, minus 4."""
    told = card("classifier", **changes)
    network = Classifier(open_trunk("test_resnet", "random:0").trunk, 3, seed=0).eval()
    _clear(network)
    modules = dict(network.named_modules())
    stem = next(
        module
        for name, module in modules.items()
        if name.endswith("conv1") and isinstance(module, nn.Sequential)
    )
    _pass_colours(stem)
    for name, module in modules.items():
        if "downsample" in name and isinstance(module, nn.Conv2d):
            _pass(module)
    with torch.no_grad():
        for k in range(3):
            network.fc8.weight[k, k] = 40.0
            network.fc8.weight[k, 3] = -4.0
    save_model(path, network, told)


def _clear(network: nn.Module) -> None:
    """Make every convolution give 0, and every norm its input."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.zero_()
                module.running_var.fill_(1)
                module.weight.fill_((1 + module.eps) ** 0.5)
                module.bias.zero_()


def _pass_colours(stem: nn.Sequential) -> None:
    """Red, green and blue in channels 0 to 2, and 1 in channel 3."""
    convs = [module for module in stem if isinstance(module, nn.Conv2d)]
    _pass(convs[0], channels=3)
    with torch.no_grad():
        next(module for module in stem if isinstance(module, nn.BatchNorm2d)).bias[3] = 1
    for conv in convs[1:]:
        _pass(conv)


def _pass(conv: nn.Conv2d, *, weight: float = 1.0, channels: int = 4, shift: int = 0) -> None:
    """Give each of the first channels what one channel has at the middle of the kernel."""
    middle = conv.kernel_size[0] // 2
    with torch.no_grad():
        for k in range(channels):
            conv.weight[k, k + shift, middle, middle] = weight
