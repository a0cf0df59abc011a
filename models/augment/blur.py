"""Gaussian blur, each picture with a sigma of its own."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.augment.params import Floats, Ints
from models.augment.taps import Taps, first_rows, mix_rows, transposed
from models.augment.view import BLUR_SIGMA_PX, BlurReach

NEGLIGIBLE = 5.0
"""Sigmas from the middle beyond which a kernel is cut: less than 6e-7 of it lies there."""


def reach_px(reach: BlurReach, side_px: int) -> int:
    """Give the pixels from the middle of the kernel to its end.

    `tenth`: the kernel spans a tenth of the side, as in SimCLR (23 pixels at 224). `four-sigma`:
    4 times the largest sigma, 8 pixels. MoCo v3 blurs with PIL, whose radius is sigma and which
    approaches the Gaussian by running means; ours is the Gaussian itself.
    """
    pixels = side_px // 20 if reach == "tenth" else int(np.ceil(4 * BLUR_SIGMA_PX[1]))
    return min(pixels, side_px - 1)


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
    def of(cls, sigma: Floats, reach: int, side_px: int, device: torch.device) -> Self:
        """Prepare blurs.

        Args:
            sigma: of each picture in pixels, 0 leaves it as it is, `(N,)`.
            reach: pixels from the middle to the end of the longest kernel.
            side_px: of the pictures.
            device: that holds them.
        """
        ends = np.minimum(np.ceil(NEGLIGIBLE * sigma), reach).astype(np.int64)
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

    def apply(self, pictures: Tensor, part: slice) -> None:
        """Blur the pictures of a part, (n, 3, S, S), in place; those that are blurred come first."""
        ends = self.ends[part]
        count = int((ends > 0).sum())
        if not count:
            return
        middle, longest = self.mirrored.shape[1] // 2, int(ends.max())
        used = slice(middle - longest, middle + longest + 1)
        rows = first_rows(count, pictures) + self.mirrored[:, used]
        kernels = self.kernels[part.start : part.start + count, used]
        taps = Taps(rows, kernels[:, None, None].expand(rows.shape).contiguous())
        once = transposed(mix_rows(pictures[:count], taps))
        pictures[:count] = mix_rows(once, taps).transpose(2, 3)
