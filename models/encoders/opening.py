"""Open an encoder: find what its name means, build the network, load weights, choose the layer."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from models.encoders.card import EncoderCard
from models.encoders.checkpoint import read_card
from models.encoders.choice import choose_tap, layer_options, output_dim
from models.encoders.encoder import Encoder
from models.encoders.filling import RANDOM, with_weights
from models.encoders.known import Known
from models.encoders.layers import StageNorm, StageTap
from models.encoders.names import from_card, look_up
from models.encoders.networks import sized
from models.errors import WeightsError


def open_encoder(
    name: str,
    weights: str | Path | None = None,
    layer: str = "last",
    *,
    stage_tap: StageTap = "pre_merge",
    stage_norm: StageNorm = "none",
    input_px: int | None = None,
) -> Encoder:
    """Open an encoder, on the CPU and in evaluation mode.

    Args:
        name: of the table (`microtome encoders`), of timm, `hf-hub:OWNER/NAME`, or the path of one
            of our checkpoints.
        weights: a file, or `random:SEED`; by default those that are published for the name.
        layer: last, last2, stage1 to stage4, cls, mean, cls+mean (METHODS §2.3).
        stage_tap: stages before or after the merging layer that follows them (Swin).
        stage_norm: parameter-free layernorm before the average of stages 1 to 3.
        input_px: side of its input in pixels; by default the encoder's own.

    Raises:
        EncoderError: no such encoder or layer, or a size that it cannot take.
        WeightsError: weights are missing, damaged, hold code, or are another network's.
    """
    known = look_up(name)
    given = None if weights is None else str(weights)
    if given is not None and not given.startswith(RANDOM):
        known = _described_by(known, given)
    options = sized(known, input_px)
    network, origin = with_weights(known, given or known.weights, options)
    side = input_px or known.input_px
    tap = choose_tap(network, layer, usual=known.usual, stage_tap=stage_tap, stage_norm=stage_norm)
    card = EncoderCard(
        name=known.name,
        architecture=known.architecture,
        architecture_options=options,
        input_px=side,
        patch_px=known.patch_px if input_px is None else None,
        mpp=known.mpp,
        mean=known.mean,
        std=known.std,
        dim=output_dim(network, tap, side),
        layer=layer,
        usual=known.usual,
        layer_options=layer_options(layer, stage_tap, stage_norm),
        versions=_versions(),
        **origin._asdict(),
    )
    return Encoder(network, tap, card).eval()


def _described_by(known: Known, place: str) -> Known:
    """Let the card in a weights file, where it has one, say how its images are prepared."""
    card = read_card(place)
    if card is None:
        return known
    if card.architecture != known.architecture:
        raise WeightsError(
            f"{place} holds weights of {card.architecture}, not of {known.name} "
            f"({known.architecture}); open it by its path alone"
        )
    return replace(from_card(card, place), name=known.name)


def _versions() -> dict[str, str]:
    found = {"torch": str(torch.__version__)}
    for package in ("timm", "microtome"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    return found
