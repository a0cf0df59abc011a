"""Encoders that have a name here: what each is built of, made for and published as. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.encoders.card import IMAGENET_MEAN, IMAGENET_STD

TIMM = "timm:"
HUB = "hf-hub:"


@dataclass(frozen=True, slots=True)
class Known:
    """An encoder that can be asked for by name.

    Attributes:
        name: that it is listed under.
        architecture: `timm:NAME`, `hf-hub:OWNER/NAME`, or a network of ours.
        dim: length of its usual output; None where only the built network tells.
        input_px: side of its input in pixels.
        patch_px: side of the patches that it takes, where they are resized to its input.
        mpp: microns per pixel that it was trained at; None where nobody said, or at several.
        options: what the network is built with beyond its library's own; JSON values.
        mean: per channel, of values in 0 to 1.
        std: per channel.
        usual: the layer that `last` means, where its authors use another than the network's own.
        weights: published weights, `timm:NAME` or `hf-hub:OWNER/NAME`; None: give a file.
        gated: its page asks to accept a licence first.
        licence: of the weights, as their page names it.
        page: where to read about it.
        method: how the published weights came about.
        data: what the published weights have seen.
        sha256: how the SHA-256 of the published file begins, where it is known.
        remark: what else to know before using it.
        aliases: other names for it.
    """

    name: str
    architecture: str
    dim: int | None
    input_px: int = 224
    patch_px: int | None = None
    mpp: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    usual: str = "last"
    weights: str | None = None
    gated: bool = False
    licence: str = ""
    page: str = ""
    method: str = "unknown"
    data: tuple[str, ...] = ()
    sha256: str = ""
    remark: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that it goes by."""
        return (self.name, *self.aliases)
