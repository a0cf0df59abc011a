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
    grey = pictures[:, :1] * GREY[0]
    return grey.add_(pictures[:, 1:2], alpha=GREY[1]).add_(pictures[:, 2:], alpha=GREY[2])


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
        mean: share of the mean of the grey picture.
    """
    other = _other(pictures, grey, mean)
    pictures.mul_(own)
    if other is not None:
        pictures.add_(other)
    return pictures.clamp_(0, 1)


def _other(pictures: Tensor, grey: Tensor | None, mean: Tensor | None) -> Tensor | None:
    """Give what is added: to the last bit the same, whatever other pictures are due."""
    level = None if mean is None else _mean_grey(pictures).mul_(mean)
    if grey is None:
        return level
    other = grey_of(pictures).mul_(grey)
    return other if level is None else other.add_(level)


def _mean_grey(pictures: Tensor) -> Tensor:
    """Give the mean of the grey picture, (n, 1, 1, 1)."""
    # in two steps: sums of one picture must not be shared among threads, whose number varies
    channels = pictures.mean(3, keepdim=True).mean(2, keepdim=True)
    return grey_of(channels)


def solarize(pictures: Tensor) -> Tensor:
    """Invert the values from .5 up."""
    return torch.where(pictures >= 0.5, 1 - pictures, pictures)
