"""Trunks by name: ResNet38, or any convolutional network of timm."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from models.encoders.filling import RANDOM, with_weights
from models.encoders.landing import land
from models.encoders.names import look_up
from models.encoders.networks import build_network, sized
from models.encoders.weights import file_sha256, find_file, read_tensors, tensors_sha256
from models.errors import EncoderError, WeightsError
from models.segmentation.resnet38 import ResNet38, draw_resnet38
from models.segmentation.trunk import NORMS, Trunk

RESNET38 = "resnet38"
DEPTH = 3
"""Maps that pseudo masks are made of: the last and two earlier ones."""
PROBE_PX = 64
"""Side of the picture that a network is tried with."""
HEAD = "fc8."
"""Of a ResNet38's file: its own classifier, which is left out."""


class TimmTrunk(Trunk):
    """A network of timm, read at its last three feature maps.

    Args:
        network: without a classifier; gives maps in which later ones depend on earlier ones.
        frozen_norms: batch normalisation is not trained and stays as it is in evaluation, as the
            source has it for ResNet38.

    Raises:
        EncoderError: it has no such maps, as transformers do not.
    """

    def __init__(self, network: nn.Module, *, frozen_norms: bool = False) -> None:
        names, channels = _described(network)
        super().__init__(names, channels)
        self.network = network
        self.frozen_norms = frozen_norms
        if frozen_norms:
            for part in self._norms():
                part.requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Give the last three maps, earliest first."""
        return _maps(self.network, images)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's signature
        """Train, or not; frozen batch normalisation stays in evaluation."""
        super().train(mode)
        if self.frozen_norms:
            for part in self._norms():
                part.training = False
        return self

    def _norms(self) -> list[nn.Module]:
        return [part for part in self.modules() if isinstance(part, NORMS)]


class Opened(NamedTuple):
    """A trunk and what a card says of it.

    Attributes:
        trunk: in evaluation mode.
        architecture: `resnet38` or `timm:NAME`.
        options: that it was built with; JSON values.
        weights: where they are from, in words of a card.
        weights_sha256: of the weights it begins with.
        mean: to be subtracted from values in [0, 1], per channel.
        std: then to be divided by.
    """

    trunk: Trunk
    architecture: str
    options: Mapping[str, Any]
    weights: str
    weights_sha256: str
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


def open_trunk(
    name: str, weights: str | None = None, *, output_stride: int | None = None
) -> Opened:
    """Open what a classifier is built on, on the CPU.

    ResNet38 takes values in [0, 1] (source); a network of timm those that its weights were trained
    with (our choice). Batch normalisation is frozen where weights are given, and trained where they
    are drawn (our choice; source for ResNet38 with weights).

    Args:
        name: `resnet38`, an encoder's name, or the file of one of our checkpoints.
        weights: a file, `random:SEED`, or None for those that belong to the name.
        output_stride: of the last map where timm builds the network so, such as 8 of a ResNet; the
            network's own by default.

    Raises:
        EncoderError: no such network, or no maps in it that depend on each other.
        WeightsError: weights are missing, damaged, or another network's.
    """
    if name == RESNET38:
        if output_stride not in (None, 8):
            raise EncoderError(f"resnet38 has an output stride of 8, not {output_stride}")
        return _open_resnet38(weights)
    known = look_up(name)
    options = sized(known, None)
    if output_stride is not None:
        options |= {"output_stride": output_stride}
    network, origin = with_weights(known, weights or known.weights, options)
    drawn = origin.method == "random"
    return Opened(
        TimmTrunk(network, frozen_norms=not drawn).eval(),
        known.architecture,
        options,
        origin.weights,
        origin.weights_sha256,
        known.mean,
        known.std,
    )


def build_trunk(architecture: str, options: Mapping[str, Any]) -> Trunk:
    """Build a trunk whose weights are to be loaded.

    Raises:
        EncoderError: no such architecture.
    """
    if architecture == RESNET38:
        with torch.device("meta"):
            trunk: Trunk = ResNet38()
        return trunk.to_empty(device="cpu").eval()
    return TimmTrunk(build_network(architecture, options), frozen_norms=True).eval()


def _open_resnet38(weights: str | None) -> Opened:
    if weights is None:
        raise WeightsError(
            "the published weights of resnet38 are in mxnet's format and cannot be downloaded from "
            "here; give a safetensors file or a state dict of them (--init FILE), or begin with "
            "drawn ones (--init random)"
        )
    if weights.startswith(RANDOM):
        seed = weights.removeprefix(RANDOM)
        if not seed.isdecimal():
            raise WeightsError(f"weights {weights!r}: a seed is a whole number, such as random:0")
        trunk = draw_resnet38(int(seed)).eval()
        return Opened(trunk, RESNET38, {}, weights, tensors_sha256(trunk.state_dict()))
    file = find_file(weights)
    tensors = {key: found for key, found in read_tensors(file).items() if HEAD not in key}
    trunk = ResNet38()
    land(trunk, tensors, str(file))
    return Opened(trunk.eval(), RESNET38, {}, file.name, file_sha256(file))


def _maps(network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    found = cast(Any, network).forward_intermediates(images, indices=DEPTH, intermediates_only=True)
    return tuple(found)


def _described(network: nn.Module) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Give names and channels of the maps of a network that has maps that can be used."""
    kind = type(network).__name__
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            found = _maps(network, torch.zeros(1, 3, PROBE_PX, PROBE_PX, requires_grad=True))
        ways = torch.autograd.grad(found[-1].sum(), found[:-1], allow_unused=True)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as err:
        raise EncoderError(f"{kind} gives no feature maps ({err}); {_ADVICE}") from err
    if len(found) < DEPTH or any(way is None for way in ways):
        raise EncoderError(f"{kind} has no {DEPTH} maps that lead to each other; {_ADVICE}")
    info = cast(Any, network).feature_info
    names = tuple(str(one["module"]) for one in list(info)[-DEPTH:])
    return names, tuple(one.shape[1] for one in found)


_ADVICE = "use a convolutional network, such as resnet18, or resnet38"
