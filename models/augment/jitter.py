"""Colour jitter: brightness, contrast, saturation and hue, in an order of each picture's own."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.augment.chunks import UNTOUCHED, hue_position
from models.augment.colour import blend_
from models.augment.hue import HueShift
from models.augment.params import CONTRAST, HUE, SATURATION, Ints, ViewParams


@dataclass(frozen=True, slots=True)
class Jitter:
    """What was drawn for N pictures, as shares of what is blended in each of the four steps.

    Attributes:
        position: step in which the hue is shifted, or UNTOUCHED, `(N,)`.
        hue: its shifts.
        order: operation of each step, `(4, N)`.
        own: share of the picture itself, `(4, N, 1, 1, 1)`.
        grey: share of the grey picture, likewise.
        mean: share of the mean of the grey picture.
    """

    position: Ints
    hue: HueShift
    order: Ints
    own: Tensor
    grey: Tensor
    mean: Tensor

    @classmethod
    def of(cls, params: ViewParams, device: torch.device) -> Self:
        """Prepare what was drawn."""
        order = params.order.T
        own = np.take_along_axis(params.factors.T, order, axis=0)
        shares = np.stack([own, (1 - own) * (order == SATURATION), (1 - own) * (order == CONTRAST)])
        laid_out = torch.from_numpy(shares.astype(np.float32)).to(device)[..., None, None, None]
        hue = HueShift.of(params.factors[:, HUE], device)
        return cls(hue_position(params), hue, order, *laid_out)

    def apply(self, pictures: Tensor, part: slice) -> None:
        """Jitter the pictures of a part, which all shift the hue in the same step, in place."""
        position = self.position[part.start]
        if position == UNTOUCHED:
            return
        for step in range(4):
            if step == position:
                self.hue.apply(pictures, part)
                continue
            order = self.order[step, part]
            grey = self.grey[step, part] if (order == SATURATION).any() else None
            mean = self.mean[step, part] if (order == CONTRAST).any() else None
            blend_(pictures, self.own[step, part], grey=grey, mean=mean)
