"""Operations on the tones of each channel: float32 `(n, 3, H, W)` in [0, 1] gives the same.

They mean what torchvision's and PIL's functions of the same names mean.
"""

import torch
from torch import Tensor

LEVELS = 256
"""Of 8-bit pictures, whose histograms are made even."""


def autocontrast(pictures: Tensor) -> Tensor:
    """Stretch each channel to the whole range; a channel of one value stays."""
    low, high = pictures.amin((2, 3), keepdim=True), pictures.amax((2, 3), keepdim=True)
    spread = high - low
    stretched = ((pictures - low) / torch.where(spread > 0, spread, 1)).clamp_(0, 1)
    return torch.where(spread > 0, stretched, pictures)


def equalize(pictures: Tensor) -> Tensor:
    """Make the histogram of each channel even, by a table of 8-bit values (PIL's `equalize`)."""
    levels = (pictures * (LEVELS - 1e-3)).long().clamp_(0, LEVELS - 1)
    flat = levels.flatten(2)  # (n, 3, H W)
    counts = torch.zeros(*flat.shape[:2], LEVELS, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    table = _tables(counts).gather(2, flat).view_as(levels)
    return table.to(pictures.dtype) / (LEVELS - 1)


def _tables(counts: Tensor) -> Tensor:
    """Give the new value of each of 256, int64 (n, 3, 256)."""
    places = torch.arange(LEVELS, device=counts.device)
    last = torch.where(counts > 0, places, 0).amax(2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, last)) // (LEVELS - 1)
    before = counts.cumsum(2) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp_(0, LEVELS - 1)
    return torch.where(step > 0, table, places.expand_as(table))
