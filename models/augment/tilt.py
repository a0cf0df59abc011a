"""Turn pictures by small angles, each by its own; what comes in from outside is black."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.augment.params import Bools, Floats
from models.augment.storage import chosen_rows, put_rows, take_rows


@dataclass(frozen=True, slots=True)
class Tilt:
    """Angles of N pictures.

    Attributes:
        radians: counter-clockwise as pictures lie in memory, `(N,)`.
    """

    radians: Floats

    @classmethod
    def of(cls, degrees: Floats, lying: Bools) -> Self:
        """Prepare angles; a transposed picture is turned the other way."""
        return cls(np.deg2rad(np.where(lying, -degrees, degrees)))

    def apply(self, pictures: Tensor, part: slice) -> Tensor:
        """Turn the pictures of a part about their middle, bilinearly, (n, 3, S, S)."""
        tilted = chosen_rows(self.radians[part] != 0)
        if not len(tilted):
            return pictures
        angle = torch.from_numpy(self.radians[part][tilted]).to(pictures.device, torch.float32)
        cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
        # of x right and y down: where a pixel of the turned picture was before
        back = torch.stack([cos, -sin, none, sin, cos, none], dim=1).view(-1, 2, 3)
        shape = [len(tilted), *pictures.shape[1:]]
        grid = functional.affine_grid(back, shape, align_corners=False)
        turned = functional.grid_sample(take_rows(pictures, tilted), grid, align_corners=False)
        put_rows(pictures, tilted, turned)
        return pictures
