"""Networks that take views of several sizes, with stochastic depth: same weights, built anew."""

import inspect
from typing import Any

from torch import nn

from models.encoders import Encoder, EncoderCard
from models.encoders.choice import choose_tap, output_dim
from models.encoders.layers import StageNorm, StageTap
from models.encoders.networks import build_network
from models.errors import EncoderError

SIZES, DEPTH = "dynamic_img_size", "drop_path_rate"
"""What timm's constructors call them. Positions of a vision transformer are then interpolated
bicubically for every other size (METHODS 8.2); windows of a Swin transformer are padded."""
RATE = "drop_prob"
"""Of timm's modules of stochastic depth."""


def with_sizes(encoder: Encoder, sides_px: tuple[int, ...], drop_path: float) -> Encoder:
    """Give an encoder with the same weights and card that takes images of all these sides.

    Args:
        encoder: opened; is not changed.
        sides_px: of the views.
        drop_path: rate of stochastic depth where the network has it, in training mode only.

    Raises:
        EncoderError: the network cannot take images of one of the sides.
    """
    network = flexible_network(encoder.card, type(encoder.network), drop_path)
    network.load_state_dict(encoder.network.state_dict())
    return wrapped(network, encoder.card, sides_px)


def flexible_network(card: EncoderCard, kind: type[nn.Module], drop_path: float) -> nn.Module:
    """Build the network of a card, without its weights.

    Args:
        card: of the encoder.
        kind: class of its network, whose constructor says what it takes.
        drop_path: rate of stochastic depth.
    """
    takes = inspect.signature(kind.__init__).parameters
    wanted = {SIZES: True, DEPTH: drop_path}
    further: dict[str, Any] = {name: value for name, value in wanted.items() if name in takes}
    return build_network(card.architecture, dict(card.architecture_options) | further)


def kind_of(card: EncoderCard) -> type[nn.Module]:
    """Find the class of a card's network, without building its weights."""
    import torch

    with torch.device("meta"):
        return type(build_network(card.architecture, card.architecture_options))


def wrapped(network: nn.Module, card: EncoderCard, sides_px: tuple[int, ...]) -> Encoder:
    """Make an encoder of a network, and see that it takes all sides.

    Raises:
        EncoderError: it cannot take images of one of them.
    """
    stage_tap: StageTap = "pre_merge"
    stage_norm: StageNorm = "none"
    if card.layer_options.get("stage_tap") == "post_merge":
        stage_tap = "post_merge"
    if card.layer_options.get("stage_norm") == "layernorm":
        stage_norm = "layernorm"
    tap = choose_tap(
        network, card.layer, usual=card.usual, stage_tap=stage_tap, stage_norm=stage_norm
    )
    for side in dict.fromkeys(sides_px):
        try:
            output_dim(network, tap, side)
        except EncoderError as err:
            raise EncoderError(
                f"{card.name} cannot take views of {side} px beside those of {card.input_px} px; "
                f"choose another --local-px or --encoder, or leave self-supervision out: {err}"
            ) from err
    return Encoder(network, tap, card)


def still(module: nn.Module) -> None:
    """Switch stochastic depth off, in training mode too."""
    for part in module.modules():
        if hasattr(part, RATE):
            setattr(part, RATE, 0.0)
