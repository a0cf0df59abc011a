"""Choose a layer by name for a network, and find out how long its vectors are."""

from typing import Any, get_args

import torch
from torch import nn
from torch.func import functional_call

from models.encoders.layers import STAGES, StageNorm, Stages, StageTap, Tap, Tokens, Usual
from models.errors import EncoderError

TOKEN_LAYERS = ("cls", "mean", "cls+mean")
STAGE_LAYERS = {
    "last2": (3, 4),
    "stage1": (1,),
    "stage2": (2,),
    "stage3": (3,),
    "stage4": (4,),
}


def choose_tap(
    network: nn.Module,
    layer: str,
    *,
    usual: str = "last",
    stage_tap: StageTap = "pre_merge",
    stage_norm: StageNorm = "none",
) -> Tap:
    """Give what reads a layer.

    Args:
        network: without a classifier.
        layer: last, last2, stage1 to stage4, cls, mean, cls+mean.
        usual: the layer that `last` means, where its authors use another than the network's own.
        stage_tap: stages 1 to 3 before or after the merging layer that follows.
        stage_norm: layernorm before the average of stages 1 to 3.

    Raises:
        EncoderError: the network has no such layer; the message names those that it has.
    """
    _require_choice("stage_tap", stage_tap, get_args(StageTap))
    _require_choice("stage_norm", stage_norm, get_args(StageNorm))
    possible = possible_layers(network)
    if layer not in possible:
        raise EncoderError(
            f"{type(network).__name__} has no layer {layer!r}; there are: {', '.join(possible)}"
        )
    wanted = STAGE_LAYERS.get(layer, ())
    if wanted and wanted != (STAGES,):
        if stage_tap == "post_merge" and not _merges(network):
            raise EncoderError(
                f"{type(network).__name__} has no merging layers between stages; "
                "stage_tap=post_merge is for Swin transformers, leave it at pre_merge"
            )
        return Stages(wanted, stage_tap, stage_norm)
    meant = usual if layer in ("last", "stage4") else layer
    return Usual() if meant == "last" else Tokens(meant)


def layer_options(layer: str, stage_tap: StageTap, stage_norm: StageNorm) -> dict[str, str]:
    """Give what a card records beyond the layer's name: nothing where it has no effect."""
    if min(STAGE_LAYERS.get(layer, (STAGES,))) == STAGES:
        return {}
    return {"stage_tap": stage_tap, "stage_norm": stage_norm}


def possible_layers(network: Any) -> list[str]:
    """Name the layers that a network has."""
    stages = STAGE_LAYERS if _has_stages(network) else ()
    return ["last", *stages, *_token_layers(network)]


def output_dim(network: nn.Module, tap: Tap, side: int) -> int:
    """Find out the length of a layer's vectors, without computing or holding any value.

    Args:
        network: any; nothing of it is changed.
        tap: what reads the layer.
        side: of the images, in pixels.

    Raises:
        EncoderError: the network cannot take such images, or the layer is no vector.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    images = torch.empty(1, 3, side, side, device="meta")
    try:
        with torch.inference_mode():
            shape = functional_call(_Tapped(network, tap), _below(empty), (images,)).shape
    except (AssertionError, RuntimeError, ValueError) as err:
        raise EncoderError(
            f"{type(network).__name__} cannot take images of {side} x {side} px: {err}"
        ) from err
    if len(shape) != 2:
        raise EncoderError(
            f"{type(network).__name__} gives no vector but shape {tuple(shape[1:])}; "
            f"name one of: {', '.join(possible_layers(network)[1:])}"
        )
    return int(shape[1])


class _Tapped(nn.Module):
    """A network read at a layer, as `functional_call` wants it."""

    def __init__(self, network: nn.Module, tap: Tap) -> None:
        super().__init__()
        self.network = network
        self.tap = tap

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.tap(self.network, images)


def _below(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"network.{name}": tensor for name, tensor in tensors.items()}


def _require_choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise EncoderError(f"{name} must be one of {', '.join(valid)}, got {value!r}")


def _has_stages(network: Any) -> bool:
    maps = list(getattr(network, "feature_info", None) or ())
    rising = [found["reduction"] for found in maps[-STAGES:]]
    grows = len(rising) == STAGES and rising == sorted(set(rising))
    return grows and hasattr(network, "forward_intermediates")


def _merges(network: Any) -> bool:
    layers = getattr(network, "layers", ())
    return len(layers) == STAGES and all(hasattr(layer, "downsample") for layer in layers)


def _token_layers(network: Any) -> tuple[str, ...]:
    if not hasattr(network, "num_prefix_tokens") or _has_stages(network):
        return ()
    return TOKEN_LAYERS if getattr(network, "cls_token", None) is not None else ("mean",)
