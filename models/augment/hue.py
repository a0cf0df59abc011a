"""Shift of the hue in HSV, without going through HSV.

With M the largest and m the smallest of a pixel's three values, a shift of hue keeps both and moves
the third, by C = M - m per sixth of a turn. Up to half a sixth, f of one, red becomes

    R' = clip(clip(G, m + f C, M - f C) - G + R, m, M)

and so on around the circle (G' with B, B' with R); a shift the other way pairs R with B, and so on.
A third of a turn exchanges the channels, and half a turn is M + m - x. This is the arithmetic of
RGB -> HSV -> RGB (Smith 1978) with its cases written out: there are no divisions and no sectors.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.augment.params import Bools, Floats, Ints

ROLLS = (
    ((slice(0, 3), slice(0, 3)),),
    ((slice(0, 2), slice(1, 3)), (slice(2, 3), slice(0, 1))),
    ((slice(0, 1), slice(2, 3)), (slice(1, 3), slice(0, 2))),
)
"""Where channels go, and which: those that come 0, 1 or 2 later in the circle."""


@dataclass(frozen=True, slots=True)
class HueShift:
    """Shifts of N pictures.

    Attributes:
        own: which channel takes the place of R in the formula, counted from the channel that is
            made, `(N,)`.
        pair: which takes the place of G, `(N,)`.
        opposite: half a turn comes on top, `(N,)`.
        share: f, float32 `(N, 1, 1, 1)`.
    """

    own: Ints
    pair: Ints
    opposite: Bools
    share: Tensor

    @classmethod
    def of(cls, turns: Floats, device: torch.device) -> Self:
        """Prepare shifts of `turns` in [-.5, .5] of the circle, `(N,)`."""
        sixths = np.rint(6 * turns).astype(np.int64)
        rest = 6 * turns - sixths
        opposite = sixths % 2 == 1
        # an odd number of sixths is half a turn, and an even number
        own = -(sixths - 3 * opposite) // 2
        pair = own + np.where(rest < 0, -1, 1)
        share = torch.from_numpy(abs(rest).astype(np.float32)).to(device)
        return cls(own % 3, pair % 3, opposite, share[:, None, None, None])

    @property
    def kind(self) -> Ints:
        """What work a shift is: those of a kind are done together, `(N,)`."""
        return np.asarray(self.own + 3 * self.pair + 9 * self.opposite)

    def apply(self, pictures: Tensor, part: slice) -> None:
        """Shift the hue of the pictures of a part, float32 (n, 3, H, W), in place."""
        high, low = pictures.amax(1, keepdim=True), pictures.amin(1, keepdim=True)
        spread = (high - low).mul_(self.share[part])
        least, most = low + spread, torch.sub(high, spread, out=spread)
        for run in _runs(self.kind[part]):
            first, kin = part.start + run.start, pictures[run]
            moved = torch.empty_like(kin)
            for into, channels in ROLLS[self.pair[first]]:
                # in this order a shift of 0 changes nothing, not even by rounding
                clipped = torch.clamp(kin[:, channels], least[run], most[run], out=moved[:, into])
                clipped.sub_(kin[:, channels])
            for into, channels in ROLLS[self.own[first]]:
                moved[:, into].add_(kin[:, channels])
            torch.clamp(moved, low[run], high[run], out=kin)
            if self.opposite[first]:
                torch.sub(low[run] + high[run], kin, out=kin)


def _runs(kind: Ints) -> list[slice]:
    """Give the slices of equal numbers."""
    edges = np.flatnonzero(np.diff(kind, prepend=-1, append=-1)).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]
