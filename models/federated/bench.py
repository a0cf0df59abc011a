"""The networks that a process trains for its sites, one after the other: built once."""

from typing import Any

import torch
from torch import Tensor

from models.encoders import Encoder, EncoderCard, open_encoder
from models.encoders.layers import Usual
from models.encoders.unet import UNetEncoder
from models.federated.averaging import State
from models.federated.errors import ProtocolError
from models.federated.plan import Plan
from models.ssl.fcl import Fcl, FclSettings
from models.ssl.heads import drawn_from
from models.ssl.rotnet import RotNet
from models.ssl.settings import MethodSettings
from models.ssl.simclr import SimClr
from models.training.method import Method

UNET = "unet"
GREY, RGB = 1, 3


class Bench:
    """A method with its networks, whose weights come and go.

    Args:
        plan: of the run.
        device: where it trains.
        asked: the plan that orders must name, where that is not the same: whoever gets weights
            with every order need not begin with those of the plan.

    Attributes:
        method: built by the plan's seed, so that every process begins alike.
    """

    def __init__(self, plan: Plan, device: torch.device, *, asked: Plan | None = None) -> None:
        self.plan, self.device, self.asked = plan, device, asked or plan
        encoder = open_network(plan)
        self.card = encoder.card
        method = build_method(plan, encoder)
        self.method: Method = method.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def weights(self) -> dict[str, Tensor]:
        """Copy the weights and buffers, to the CPU."""
        found = self.method.state_dict()
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in found.items()}

    def load(self, weights: State) -> None:
        """Take weights.

        Raises:
            ProtocolError: they are of another network.
        """
        try:
            self.method.load_state_dict(dict(weights))
        except RuntimeError as err:
            raise ProtocolError(f"the weights are of another network: {err}") from err


def open_network(plan: Plan) -> Encoder:
    """Open the encoder that a plan begins with, on the CPU.

    Raises:
        EncoderError: there is no such encoder.
        WeightsError: its weights are missing or wrong.
    """
    drawn = f"random:{plan.seed}"
    if plan.encoder != UNET:
        weights = {"random": drawn, "published": None}.get(plan.weights, plan.weights)
        return open_encoder(plan.encoder, weights, input_px=plan.side_px)
    channels = GREY if plan.data == "volumes" else RGB
    with drawn_from(plan.seed):
        network = UNetEncoder(channels, plan.width)
    card = EncoderCard(
        name=UNET,
        method="random",
        architecture=UNET,
        architecture_options={"channels": channels, "width": plan.width},
        weights=drawn,
        weights_sha256="",
        input_px=plan.side_px,
        dim=network.num_features,
        layer="last",
    )
    return Encoder(network, Usual(), card)


def build_method(plan: Plan, encoder: Encoder) -> Method:
    """Build the method of a plan around an encoder.

    Raises:
        ProtocolError: the plan has settings that the method does not know.
    """
    kinds: dict[str, tuple[Any, Any]] = {
        "fcl": (Fcl, FclSettings),
        "simclr": (SimClr, MethodSettings),
        "rotnet": (RotNet, MethodSettings),
    }
    kind, settings = kinds[plan.method]
    try:
        known = settings(**usual_settings(plan) | plan.settings)
    except (TypeError, ValueError) as err:
        raise ProtocolError(f"settings of {plan.method}: {err}") from err
    method: Method = kind(encoder, known, seed=plan.seed)
    return method


def usual_settings(plan: Plan) -> dict[str, Any]:
    """Give what a baseline has unless told otherwise (METHODS 5, ours); FCL's are its own."""
    return {"temperature": 0.1, "features": 128} if plan.method == "simclr" else {}
