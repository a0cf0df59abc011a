"""Networks with their weights: drawn, read from a file, or published."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
from torch import Tensor, nn

from models.encoders.checkpoint import read_card
from models.encoders.hub import download, told
from models.encoders.known import HUB, TIMM, Known
from models.encoders.landing import land
from models.encoders.networks import build_empty, build_network, complete
from models.encoders.weights import file_sha256, find_file, read_tensors, tensors_sha256
from models.errors import WeightsError

RANDOM = "random:"


class Origin(NamedTuple):
    """Where weights are from, in the words of a card."""

    weights: str
    weights_sha256: str
    method: str
    data: tuple[str, ...] = ()


def with_weights(
    known: Known, weights: str | None, options: Mapping[str, Any]
) -> tuple[nn.Module, Origin]:
    """Build a network and give it weights.

    Args:
        known: what to build.
        weights: `random:SEED`, a file, or published ones as `Known.weights` names them.
        options: what the network is built with.

    Raises:
        WeightsError: weights are missing, damaged, hold code, or are another network's.
    """
    if weights is None:
        where = f" ({known.page})" if known.page else ""
        raise WeightsError(
            f"the weights of {known.name} cannot be downloaded from here{where}; "
            "give their file with --weights FILE, or --weights random:SEED for a test"
        )
    if weights.startswith(RANDOM):
        network = build_network(known.architecture, options, seed=_seed(weights))
        return network, Origin(weights, tensors_sha256(network.state_dict()), "random")
    if weights.startswith(TIMM):
        return _published_by_timm(known, weights, options)
    if weights.startswith(HUB):
        network = _filled(known, options, download(weights, known.name), weights)
        sha256 = tensors_sha256(network.state_dict())
        return network, Origin(weights, sha256, known.method, known.data)
    file = find_file(weights)
    tensors = read_tensors(file)
    origin = _origin(known, file, tensors)
    return _filled(known, options, tensors, str(file)), origin


def _filled(
    known: Known, options: Mapping[str, Any], tensors: Mapping[str, Tensor], source: str
) -> nn.Module:
    empty = build_empty(known.architecture, options)
    network = build_network(known.architecture, options) if empty is None else empty
    land(network, tensors, source)
    complete(network)
    return network


def _published_by_timm(
    known: Known, weights: str, options: Mapping[str, Any]
) -> tuple[nn.Module, Origin]:
    if not timm.is_model_pretrained(weights.removeprefix(TIMM)):
        raise WeightsError(
            f"timm has no weights for {known.name}; give --weights FILE or random:SEED"
        )
    with told(weights, known.name):
        network: Any = build_network(weights, options, pretrained=True)
    tag = network.pretrained_cfg.get("tag")
    label = f"{known.architecture}.{tag}" if tag else weights
    sha256 = tensors_sha256(network.state_dict())
    return network, Origin(label, sha256, known.method, known.data)


def _origin(known: Known, file: Path, tensors: Mapping[str, Tensor]) -> Origin:
    card = read_card(file)
    if card is not None:
        if tensors_sha256(tensors) != card.weights_sha256:
            raise WeightsError(
                f"{file} is damaged: its tensors are not those that its card was written for "
                f"(SHA-256 {card.weights_sha256[:12]}…); copy it again"
            )
        return Origin(file.name, card.weights_sha256, card.method, card.data)
    sha256 = file_sha256(file)
    if known.sha256 and sha256.startswith(known.sha256):
        return Origin(file.name, sha256, known.method, known.data)
    return Origin(file.name, sha256, "unknown")


def _seed(weights: str) -> int:
    seed = weights.removeprefix(RANDOM)
    if not re.fullmatch(r"[0-9]{1,18}", seed):
        raise WeightsError(f"weights {weights!r}: a seed is a whole number, such as random:0")
    return int(seed)
