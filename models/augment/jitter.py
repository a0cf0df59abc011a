"""Colour jitter: brightness, contrast, saturation and hue, in an order of each picture's own."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.augment.chunks import UNTOUCHED, hue_position
from models.augment.colour import blend_
from models.augment.hue import shift_hue
from models.augment.params import CONTRAST, HUE, SATURATION, Floats, Ints, ViewParams


@dataclass(frozen=True, slots=True)
class Jitter:
    """What was drawn for N pictures, as shares of what is blended in each of the four steps.

    Attributes:
        position: step in which the hue is shifted, or UNTOUCHED, `(N,)`.
        turns: shift of the hue, `(N,)`.
        order: operation of each step, `(4, N)`.
        own: share of the picture itself, `(4, N, 1, 1, 1)`.
        rest: 1 less that, for saturation only.
        level: 1 less that, for contrast only.
    """

    position: Ints
    turns: Floats
    order: Ints
    own: Tensor
    rest: Tensor
    level: Tensor

    @classmethod
    def of(cls, params: ViewParams, device: torch.device) -> Self:
        """Prepare what was drawn."""
        order = params.order.T
        own = np.take_along_axis(params.factors.T, order, axis=0)
        shares = np.stack([own, (1 - own) * (order == SATURATION), (1 - own) * (order == CONTRAST)])
        laid_out = torch.from_numpy(shares.astype(np.float32)).to(device)[..., None, None, None]
        return cls(hue_position(params), params.factors[:, HUE], order, *laid_out)

    def apply(self, pictures: Tensor, part: slice) -> Tensor:
        """Jitter the pictures of a part, which all shift the hue in the same step."""
        position = self.position[part.start]
        if position == UNTOUCHED:
            return pictures
        for step in range(4):
            if step == position:
                pictures = shift_hue(pictures, self.turns[part])
                continue
            order = self.order[step, part]
            grey = self.rest[step, part] if (order == SATURATION).any() else None
            mean = self.level[step, part] if (order == CONTRAST).any() else None
            blend_(pictures, self.own[step, part], grey=grey, mean=mean)
        return pictures
