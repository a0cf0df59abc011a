"""What a classifier is built on: three feature maps that have names."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
"""Batch normalisation, also as several processes have it."""


class Trunk(nn.Module, ABC):
    """A network without a classifier that gives its last map and two earlier ones.

    Gradients flow from later maps to earlier ones, so that Grad-CAM may ask for them.

    Attributes:
        taps: names of the maps, earliest first.
        channels: of each.
    """

    def __init__(self, taps: tuple[str, ...], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.taps = taps
        self.channels = channels

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Give the maps (B, channels, h, w), earliest first, of images (B, 3, H, W)."""
