"""Build networks without weights of their own: any of timm, and those that are ours."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import timm
import torch
from timm.layers.mlp import SwiGLUPacked
from torch import nn

from models.encoders.known import HUB, TIMM, Known
from models.encoders.positions import sincos_positions
from models.encoders.stems import SIDE_PX, ConvStem
from models.encoders.unet import UNetEncoder
from models.errors import EncoderError

CLASSES: dict[str, Any] = {"swiglu_packed": SwiGLUPacked}
"""Parts that timm takes as classes, by the names that stand in a card."""


def build_network(
    architecture: str, options: Mapping[str, Any], *, seed: int = 0, pretrained: bool = False
) -> nn.Module:
    """Build a network without a classifier, in evaluation mode.

    Args:
        architecture: `timm:NAME`, `hf-hub:OWNER/NAME` or a name of ours.
        options: arguments of its constructor; JSON values.
        seed: of the weights; the global generator is left as it was.
        pretrained: with timm's published weights, which may be downloaded.

    Raises:
        EncoderError: no such architecture, or options that it does not take.
    """
    make = OURS.get(architecture)
    if make is None and not architecture.startswith((TIMM, HUB)):
        raise EncoderError(f"no network is called {architecture!r}; timm's are timm:NAME")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # the CPU's alone, all weights start there
            if make is not None:
                return make(**options).eval()
            return timm_network(architecture, options, pretrained=pretrained).eval()
    except (AssertionError, TypeError, ValueError) as err:
        raise EncoderError(f"cannot build {architecture} with {dict(options)}: {err}") from err


def build_empty(architecture: str, options: Mapping[str, Any]) -> nn.Module | None:
    """Build a network without memory for its weights, at once even where it is large.

    Drawing weights that a file will replace takes longer than reading the file.

    Args:
        architecture: as of `build_network`.
        options: arguments of its constructor.

    Returns:
        The network, whose weights are to be loaded and then `completed`; None where that would
        leave out tensors that are computed when it is built.
    """
    try:
        with torch.device("meta"):
            network = build_network(architecture, options)
    except (NotImplementedError, RuntimeError):  # it computes with values while it is built
        return None
    return network if all(_recomputes(module) for module in network.modules()) else None


def complete(network: nn.Module) -> None:
    """Compute the tensors of an empty network that its weights' file does not hold."""
    for module in network.modules():
        empty = [(n, b) for n, b in module.named_buffers(recurse=False) if b.is_meta]
        for name, buffer in empty:
            setattr(module, name, torch.empty_like(buffer, device="cpu"))
        if empty:
            cast(Any, module).init_non_persistent_buffers()


def _recomputes(module: nn.Module) -> bool:
    loaded = module.state_dict()
    computed = [name for name, _ in module.named_buffers(recurse=False) if name not in loaded]
    return not computed or hasattr(module, "init_non_persistent_buffers")  # timm's own word


def timm_network(
    architecture: str, options: Mapping[str, Any], *, pretrained: bool = False
) -> nn.Module:
    """Build a network of timm's without a classifier; its weights are drawn globally."""
    given = {key: CLASSES.get(str(value), value) for key, value in options.items()}
    name = architecture.removeprefix(TIMM)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # old names that timm maps to new ones
        network: nn.Module = timm.create_model(name, pretrained, num_classes=0, **given)
    return network


def sized(known: Known, input_px: int | None) -> dict[str, Any]:
    """Give the options that build a network for another input size than its usual one.

    Raises:
        EncoderError: the network works at one size only.
    """
    options = dict(known.options)
    if input_px is None or input_px == known.input_px:
        return options
    if known.architecture == "ctranspath-swin-tiny":
        raise EncoderError(f"{known.name} takes exactly {SIDE_PX} px, not {input_px}")
    if known.architecture.startswith(TIMM) and not _has_fixed_size(known.architecture):
        return options
    return options | {"img_size": input_px}


def _has_fixed_size(architecture: str) -> bool:
    found = timm.get_pretrained_cfg(architecture.removeprefix(TIMM))
    return bool(found and found.fixed_input_size)


def _ctranspath(**further: Any) -> nn.Module:
    return timm_network("timm:swin_tiny_patch4_window7_224", {"embed_layer": ConvStem} | further)


def _moco_vit_small(img_size: int = 224, **further: Any) -> nn.Module:
    """ViT-S of MoCo v3 (METHODS §2.2): 12 heads instead of 6, positions that are not learned."""
    network: Any = timm_network(
        "timm:vit_small_patch16_224", {"num_heads": 12, "img_size": img_size} | further
    )
    rows, columns = network.patch_embed.grid_size
    positions = sincos_positions(rows, columns, network.embed_dim)
    network.pos_embed = nn.Parameter(positions, requires_grad=False)
    built: nn.Module = network
    return built


OURS: dict[str, Callable[..., nn.Module]] = {
    "ctranspath-swin-tiny": _ctranspath,
    "vit-small-16-moco": _moco_vit_small,
    "unet": UNetEncoder,
}
"""Networks that timm does not have by name."""
