"""Gaussian blur, each picture with a sigma of its own."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.augment.params import Bools, Floats, Ints
from models.augment.storage import chosen_rows, put_rows
from models.augment.taps import Taps, mix_rows, transposed
from models.augment.view import BlurReach

NEGLIGIBLE = 5.0
"""Sigmas from the middle beyond which less than 6e-7 of a Gaussian lies."""


def kernel_ends(sigma: Floats, reach: BlurReach, side_px: int) -> Ints:
    """Give the pixels from the middle to the end of each kernel, 0 for a sigma of 0, (N,).

    `tenth`: the kernel spans a tenth of the side, as in SimCLR (23 pixels at 224), and what is
    negligible is left out. `four-sigma`: 4 sigma, rounded up. MoCo v3 blurs with PIL, whose radius
    is sigma and which approaches the Gaussian by running means; ours is the Gaussian itself.
    """
    ends = np.minimum(np.ceil(NEGLIGIBLE * sigma), side_px // 20)
    if reach == "four-sigma":
        ends = np.ceil(4 * sigma)
    return np.minimum(ends, side_px - 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Blur:
    """Sampled Gaussians of sum 1, mirrored at the edges, for N square pictures.

    Attributes:
        ends: pixels from the middle to the end of each kernel, `(N,)`; 0 leaves pictures as they
            are.
        kernels: float32 `(N, 2 R + 1)`, R the longest of these ends.
        mirrored: rows that make each row, int64 `(S, 2 R + 1)`.
    """

    ends: Ints
    kernels: Tensor
    mirrored: Tensor

    @classmethod
    def of(cls, sigma: Floats, reach: BlurReach, side_px: int, device: torch.device) -> Self:
        """Prepare blurs.

        Args:
            sigma: of each picture in pixels, 0 leaves it as it is, `(N,)`.
            reach: where kernels end.
            side_px: of the pictures.
            device: that holds them.
        """
        ends = kernel_ends(sigma, reach, side_px)
        longest = ends.max(initial=0)
        offsets = np.arange(-longest, longest + 1)
        kernel = np.exp(-0.5 * (offsets / np.where(ends, sigma, 1)[:, None]) ** 2)
        kernel *= abs(offsets) <= ends[:, None]
        kernel /= kernel.sum(1, keepdims=True)
        last = side_px - 1
        rows = last - abs(last - abs(np.arange(side_px)[:, None] + offsets))
        return cls(
            ends,
            torch.from_numpy(kernel.astype(np.float32)).to(device),
            torch.from_numpy(rows).to(device),
        )

    @property
    def transposes(self) -> Bools:
        """Which pictures `apply` blurs, and transposes, `(N,)`."""
        return self.ends > 0

    def apply(self, pictures: Tensor, part: slice) -> Tensor:
        """Blur and transpose the pictures of a part that are blurred, (n, 3, S, S).

        Gives all pictures; those that were given may be changed.
        """
        blurred = chosen_rows(self.transposes[part])
        if not len(blurred):
            return pictures
        middle, longest = self.mirrored.shape[1] // 2, int(self.ends[part].max())
        used = slice(middle - longest, middle + longest + 1)
        kernels = self.kernels[part.start + blurred, None, None, used]
        rows = self.mirrored[:, used]
        taps = Taps.of(_first_rows(blurred, pictures), rows, kernels)
        once = transposed(mix_rows(pictures, taps))
        taps = Taps.of(_first_rows(np.arange(len(blurred)), once), rows, taps.weights)
        twice = mix_rows(once, taps)
        if len(blurred) == len(pictures):
            return twice
        put_rows(pictures, blurred, twice)
        return pictures


def _first_rows(numbers: Ints, pictures: Tensor) -> Tensor:
    """Give the number of the first row of each plane of some pictures, (n, 3, 1, 1)."""
    planes = 3 * numbers[:, None] + np.arange(3)
    rows = torch.from_numpy(planes * pictures.shape[2])
    return rows[:, :, None, None].to(pictures.device)
