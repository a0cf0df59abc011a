"""Segmenters: DeepLabV3+ and whatever else segmentation-models-pytorch has, by name."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.encoders import get_encoder_names
from torch import nn

from models.encoders.checkpoint import read_card
from models.encoders.landing import land
from models.encoders.weights import find_file, read_tensors, tensors_sha256
from models.errors import EncoderError, LabelsError
from models.ssl.heads import drawn_from

DEEPLAB = "deeplabv3plus"
ENCODER = "resnet101"
USUAL: dict[str, dict[str, Any]] = {
    DEEPLAB: {
        "encoder_output_stride": 16,
        "decoder_atrous_rates": [6, 12, 18],
        "decoder_aspp_separable": False,
        "decoder_aspp_dropout": 0.5,
        "decoder_channels": 256,
    }
}
"""Options of METHODS 10.5 where they are not the library's own."""
TIMM_PREFIX = "tu-"
"""The library's word before the name of a network of timm."""


@dataclass(frozen=True, slots=True)
class SegmenterPlan:
    """What a segmenter is built of.

    DeepLabV3+: L.-C. Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic
    Image Segmentation, ECCV 2018, arXiv 1802.02611. Differs from METHODS 10.5, as the library has
    it: layer 4 has no multi-grid (dilation 2 throughout); one separable 3x3 convolution after the
    pooling pyramid and one after the low-level maps come in, in place of two full ones with
    dropout .5 and .1; the pooled image is spread without aligned corners, which is the same for one
    pixel; its start is an encoder's weights, not a whole DeepLab's. Rates, channels, stride,
    dropout of the pyramid and aligned corners of the upsampling are METHODS'.

    Attributes:
        architecture: of the library, such as deeplabv3plus, unet, fpn.
        encoder: of the library, or `tu-NAME` for one of timm.
        options: of the architecture's constructor, beyond `USUAL`; JSON values.
    """

    architecture: str = DEEPLAB
    encoder: str = ENCODER
    options: Mapping[str, Any] = field(default_factory=dict)


def build_segmenter(plan: SegmenterPlan, classes: int, *, seed: int = 0) -> nn.Module:
    """Build a segmenter with drawn weights, in evaluation mode.

    It takes images (B, 3, H, W) whose sides are multiples of its stride (32 for most, 16 for
    DeepLabV3+) and gives logits (B, C, H, W).

    Args:
        plan: what it is built of.
        classes: C.
        seed: of the weights; the global generator is left as it was.

    Raises:
        EncoderError: no such architecture or encoder, or options that it does not take.
        LabelsError: fewer than two classes.
    """
    if classes < 2:
        raise LabelsError(f"a segmenter needs at least two classes, got {classes}")
    name = plan.architecture.lower()
    _require_name("segmentation architecture", name, list(_architectures()))
    options = {"encoder_weights": None} | USUAL.get(name, {}) | dict(plan.options)
    try:
        with drawn_from(seed):
            network: nn.Module = smp.create_model(name, plan.encoder, classes=classes, **options)
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as err:
        _require_encoder(plan.encoder)
        raise EncoderError(
            f"cannot build {name} on {plan.encoder} with {dict(plan.options)}: {err}"
        ) from err
    return network.eval()


def load_encoder(network: nn.Module, place: str | Path) -> tuple[str, str, tuple[str, ...]]:
    """Put weights of a pretrained encoder into a segmenter.

    Args:
        network: of `build_segmenter`.
        place: an encoder's checkpoint of ours, or another file of weights.

    Returns:
        Name and SHA-256 of the weights, and what they have seen, for a card.

    Raises:
        WeightsError: there is no such file, or it is of another network.
    """
    file = find_file(place)
    encoder: Any = network.get_submodule("encoder")
    tensors = read_tensors(file)
    land(getattr(encoder, "model", encoder), tensors, str(file))  # timm's are wrapped
    card = read_card(file) if file.suffix == ".safetensors" else None
    seen = () if card is None else (*card.data, f"{card.name}: {card.weights}")
    return file.name, tensors_sha256(tensors), seen


def _architectures() -> Mapping[str, Any]:
    found: dict[str, Any] = smp.MODEL_ARCHITECTURES_MAPPING
    return found


def _require_name(what: str, name: str, known: list[str]) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:8]
    raise EncoderError(f"no {what} is called {name!r}; did you mean {', '.join(near)}?")


def _require_encoder(name: str) -> None:
    if not name.startswith(TIMM_PREFIX):
        known = [str(one) for one in get_encoder_names()]
        _require_name("encoder", name, known)
