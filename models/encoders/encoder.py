"""An encoder: a network, one of its layers, and the card that says what it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoders.card import EncoderCard
from models.encoders.layers import Tap


class Encoder(nn.Module):
    """From patches to embeddings; in evaluation mode when it is opened.

    Attributes:
        card: what it is.
        network: the bare network, without a classifier; the part that is trained and stored.
        tap: the layer that is read.
    """

    def __init__(self, network: nn.Module, tap: Tap, card: EncoderCard) -> None:
        super().__init__()
        self.card = card
        self.network = network
        self.tap = tap
        std = torch.tensor(card.std).view(1, 3, 1, 1)
        mean = torch.tensor(card.mean).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Embed normalised images.

        Args:
            images: (B, 3, H, W), as `prepare` gives them.

        Returns:
            (B, D), D = `card.dim`.
        """
        return self.tap(self.network, images)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Scale pixels to 0..1, bring them to the encoder's size, subtract mean, divide by std.

        Args:
            pixels: uint8 (B, H, W, 3) on the encoder's device.

        Returns:
            float32 (B, 3, input_px, input_px); resized, bilinear with antialias, only where the
            side differs.
        """
        images = pixels.permute(0, 3, 1, 2).to(torch.float32)
        side = self.card.input_px
        if images.shape[-2:] != (side, side):
            images = functional.interpolate(
                images, (side, side), mode="bilinear", align_corners=False, antialias=True
            )
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        return images.mul_(scale).add_(shift)
