"""The whole U-Net of METHODS 9.5: an encoder that was pretrained, and the way up."""

import torch
from torch import Tensor, nn

from models.encoders.unet import UNetEncoder, double_conv, draw_he


class UNet(nn.Module):
    """From images to class scores of every pixel.

    Each step up is a transposed conv 2x2 of stride 2, the centre-cropped map of the same level
    beside it, and two of conv 3x3, BN and LeakyReLU; the head is a conv 1x1 without bias (source,
    METHODS 9.5). Only `encoder` comes from pretraining.

    Args:
        encoder: the way down; becomes part of this network.
        classes: background among them.
    """

    def __init__(self, encoder: UNetEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        lower, upper = encoder.widths[:0:-1], encoder.widths[-2::-1]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(below, above, 2, stride=2)
            for below, above in zip(lower, upper, strict=True)
        )
        self.levels = nn.ModuleList(double_conv(2 * above, above) for above in upper)
        self.head = nn.Conv2d(upper[-1], classes, 1, bias=False)
        for part in (self.ups, self.levels, self.head):
            draw_he(part)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits (B, classes, H, W) of images (B, C, H, W), H and W multiples of 16."""
        *skips, found = self.encoder.maps(images)
        for up, level, skip in zip(self.ups, self.levels, reversed(skips), strict=True):
            risen = up(found)
            found = level(torch.cat([_cropped(skip, risen), risen], dim=1))
        logits: Tensor = self.head(found)
        return logits


def _cropped(skip: Tensor, like: Tensor) -> Tensor:
    """Cut a map at its centre to the size of another."""
    (height, width), (rows, columns) = skip.shape[-2:], like.shape[-2:]
    top, left = (height - rows) // 2, (width - columns) // 2
    return skip[..., top : top + rows, left : left + columns]
