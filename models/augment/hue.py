"""Shift of the hue in HSV, without going through HSV.

With M the largest and m the smallest of a pixel's three values, a shift of hue keeps both and moves
the third, C = M - m per sixth of a turn. Within a twelfth of a turn, f sixths, red becomes

    R' = clip(R - G + clip(G, m + f C, M - f C), m, M)

and so on around the circle (G' with B, B' with R); a shift the other way pairs R with B, and so on.
A third of a turn exchanges the channels, and half a turn is M + m - x. This is the arithmetic of
RGB -> HSV -> RGB (Smith 1978) with its cases written out: there are no divisions and no sectors.
"""

import numpy as np
import torch
from torch import Tensor

from models.augment.params import Bools, Floats, Ints
from models.augment.storage import chosen_rows, put_rows, take_rows


def shift_hue(pictures: Tensor, turns: Floats) -> Tensor:
    """Shift the hue of each picture, float32 (n, 3, H, W).

    Args:
        pictures: of any values.
        turns: shift of each, in [-.5, .5] of the circle, `(n,)`.
    """
    sixths = np.rint(6 * turns).astype(np.int64)
    rest = 6 * turns - sixths
    half = sixths % 2 == 1
    # an odd number of sixths is half a turn, and an even number
    thirds = (sixths - 3 * half) // 2
    own = _planes(pictures, -thirds) if thirds.any() else pictures.flatten(0, 1)
    pair = _planes(pictures, np.where(rest < 0, -1, 1) - thirds)
    high, low = pictures.amax(1, keepdim=True), pictures.amin(1, keepdim=True)
    share = torch.from_numpy(abs(rest).astype(np.float32)).to(pictures.device)[:, None, None, None]
    bounds = torch.lerp(low, high, share), torch.lerp(high, low, share)
    own, pair = own.view_as(pictures), pair.view_as(pictures)
    moved = torch.clamp(pair, *bounds).sub_(pair).add_(own)
    return _mirrored(torch.clamp(moved, low, high, out=moved), high + low, half)


def _planes(pictures: Tensor, shift: Ints) -> Tensor:
    """Give channel c + shift of each picture as its channel c, (3 n, H, W)."""
    channels = (np.arange(3) + shift[:, None]) % 3 + 3 * np.arange(len(shift))[:, None]
    chosen = torch.from_numpy(channels.reshape(-1)).to(pictures.device)
    return pictures.flatten(0, 1).index_select(0, chosen)


def _mirrored(pictures: Tensor, total: Tensor, half: Bools) -> Tensor:
    """Turn the hue of the chosen pictures by half a turn; `total` is M + m."""
    rows = chosen_rows(half)
    if len(rows) == len(pictures):
        return torch.sub(total, pictures, out=pictures)
    if len(rows):
        put_rows(pictures, rows, take_rows(total, rows) - take_rows(pictures, rows))
    return pictures
