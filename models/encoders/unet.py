"""The encoder of a U-Net (METHODS 9.5): four levels and a centre, whose mean is the embedding."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

LEVELS = 4
SLOPE = 0.01
"""Of LeakyReLU, and of the law that weights are drawn by."""


class UNetEncoder(nn.Module):
    """The way down.

    O. Ronneberger, P. Fischer, T. Brox, U-Net: Convolutional Networks for Biomedical Image
    Segmentation, MICCAI 2015, arXiv 1505.04597, figure 1, as dewenzeng/positional_cl has it
    (source, METHODS 9.5): each level two of conv 3x3, BN and LeakyReLU, then max-pool 2; the
    centre two of conv 3x3 and ReLU. Weights by He's law, a = .01.

    Args:
        channels: of the images.
        width: channels of the first level; each further one has twice as many.

    Attributes:
        widths: channels of the levels and of the centre.
    """

    def __init__(self, channels: int = 3, width: int = 48) -> None:
        super().__init__()
        self.widths = tuple(width * 2**level for level in range(LEVELS + 1))
        self.num_features = self.widths[-1]
        inputs = (channels, *self.widths[:-2])
        self.levels = nn.ModuleList(
            double_conv(*pair) for pair in zip(inputs, self.widths[:-1], strict=True)
        )
        self.centre = nn.Sequential(
            nn.Conv2d(self.widths[-2], self.widths[-1], 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.widths[-1], self.widths[-1], 3, padding=1),
            nn.ReLU(inplace=True),
        )
        draw_he(self)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Give the maps of all levels and of the centre, H to H/16, of images (B, C, H, W)."""
        return list(self._maps(images))

    def forward(self, images: Tensor) -> Tensor:
        """Give the mean of the centre, (B, 16 width)."""
        *_, centre = self._maps(images)
        return centre.mean(dim=(2, 3))

    def _maps(self, images: Tensor) -> Iterator[Tensor]:
        found = images
        for level in self.levels:
            found = level(found)
            yield found
            found = torch.nn.functional.max_pool2d(found, 2)
        yield self.centre(found)


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Give two of conv 3x3, BN and LeakyReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
    return nn.Sequential(*layers)


def draw_he(network: nn.Module) -> None:
    """Draw the weights of convolutions by He's law; their biases are 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, a=SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
