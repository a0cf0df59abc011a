"""Operations on the colours of each pixel, every picture with strengths of its own.

All take float32 `(n, 3, H, W)` in [0, 1] and give the same; those that end in `_` work in place.
They mean what torchvision's functions of the same names mean for float tensors.
"""

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey (torchvision)."""


def grey_of(pictures: Tensor) -> Tensor:
    """Give the grey picture, (n, 1, H, W)."""
    red, green, blue = pictures.split(1, dim=1)
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def blend_(
    pictures: Tensor, own: Tensor, *, grey: Tensor | None = None, mean: Tensor | None = None
) -> Tensor:
    """Mix each picture with grey, and cut to [0, 1].

    With a factor f, brightness keeps f of the picture; saturation adds 1 - f of the grey picture,
    and contrast 1 - f of its mean.

    Args:
        pictures: are changed.
        own: share of the picture itself, `(n, 1, 1, 1)`.
        grey: share of the grey picture, likewise; None is 0 for all.
        mean: share of the mean grey.
    """
    other = _other(pictures, grey, mean)
    pictures.mul_(own)
    if other is not None:
        pictures.add_(other)
    return pictures.clamp_(0, 1)


def _other(pictures: Tensor, grey: Tensor | None, mean: Tensor | None) -> Tensor | None:
    if grey is None and mean is None:
        return None
    other = grey_of(pictures)
    if mean is None:
        return other.mul_(grey)
    # in two steps: sums of one picture must not be shared among threads, whose number varies
    level = other.mean(3, keepdim=True).mean(2, keepdim=True).mul_(mean)
    return level if grey is None else other.mul_(grey).add_(level)


def solarize(pictures: Tensor) -> Tensor:
    """Invert the values from .5 up."""
    return torch.where(pictures >= 0.5, 1 - pictures, pictures)
