"""Crop, resize, flip and turn: every picture of a batch with a box of its own, in two passes."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from models.augment.chunks import Portions
from models.augment.params import Bools, Floats, Ints, ViewParams
from models.augment.storage import chosen_rows, put_rows, take_rows
from models.augment.taps import Taps, mix_rows, transposed


class _Span(NamedTuple):
    """Of one axis: where the crop begins and how long it is in pixels, and whether it is mirrored.

    All `(n,)`.
    """

    start: Ints
    length: Ints
    mirrored: Bools


@dataclass(frozen=True, slots=True)
class Resampler:
    """Cuts patches, resizes, flips and turns them, as was drawn.

    Bilinear, with antialiasing where a crop is shrunk, as torchvision's tensors and PIL do; MoCo v3
    and SimCLR crop bilinearly too (torchvision's default). A quarter turn is `numpy.rot90` of the
    picture without it up to the rounding of a float32; flips are exact.

    Attributes:
        pixels: uint8 `(N, P, P, 3)`.
        order: number of the patch of each picture, `(N,)`.
        sideways: whether a picture is turned by 90 or 270 degrees, `(N,)`.
        rows: taps of the pictures' rows.
        columns: taps of their columns, which also scale to [0, 1].
    """

    pixels: Tensor
    order: Ints
    sideways: Bools
    rows: Taps
    columns: Taps

    @classmethod
    def of(cls, pixels: Tensor, params: ViewParams, portions: Portions, side_px: int) -> Self:
        """Prepare what was drawn, rows of `params` in the order of the portions."""
        device, patch_px = pixels.device, pixels.shape[1]
        planes = 3 * torch.from_numpy(portions.places)[:, None] + torch.arange(3)
        first = (planes * patch_px)[:, :, None, None].to(device)
        rows, columns = (
            _taps(first, *_filter(span, side_px, device)) for span in _spans(params, patch_px)
        )
        columns.weights.mul_(1 / 255)
        return cls(pixels, portions.order, params.turn % 2 == 1, rows, columns)

    def cut(self, part: slice) -> Tensor:
        """Give the pictures of a part of the order, float32 (n, 3, side, side) in [0, 1]."""
        pixels = take_rows(self.pixels, self.order[part])
        turned = chosen_rows(self.sideways[part])
        if len(turned):
            put_rows(pixels, turned, take_rows(pixels, turned).transpose(1, 2))
        planes = pixels.permute(0, 3, 2, 1).to(torch.float32, memory_format=torch.contiguous_format)
        wide = mix_rows(planes, self.columns.part(part))
        return mix_rows(transposed(wide), self.rows.part(part))


def _spans(params: ViewParams, patch_px: int) -> tuple[_Span, _Span]:
    """Give the spans of rows and columns, exchanged where a quarter turn exchanges them."""
    length = _lengths(params.crop[:, :2], patch_px)
    # as torchvision: any whole pixel from which the crop fits, equally likely
    start = (params.crop[:, 2:] * (patch_px - length + 1)).astype(np.int64)
    odd = (params.turn % 2 == 1)[:, None]
    start, length, flip = (
        np.where(odd, both[:, ::-1], both) for both in (start, length, params.flip)
    )
    # rot90: transpose, then up-down; both flips; transpose, then left-right
    turned = np.stack([np.isin(params.turn, (1, 2)), np.isin(params.turn, (2, 3))], axis=1)
    mirrored = flip ^ turned
    rows, columns = (_Span(start[:, i], length[:, i], mirrored[:, i]) for i in (0, 1))
    return rows, columns


def _lengths(shares: Floats, patch_px: int) -> Ints:
    return np.maximum(np.rint(shares * patch_px), 1).astype(np.int64)


def _filter(span: _Span, side_px: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give the pixels that make each of `side_px` pixels, and their weights, (n, side, K).

    The weights are a triangle, one pixel wide on each side, or one of the output's if larger.
    """
    start, last, mirrored = (
        torch.from_numpy(part).to(device)[:, None, None]
        for part in (span.start, span.length - 1, span.mirrored)
    )
    ratio = (last + 1).double() / side_px
    support = ratio.clamp(min=1)
    width = max(2, int(np.ceil(2 * span.length.max(initial=1) / side_px)))
    places = torch.arange(side_px, device=device)[:, None]
    centre = (torch.where(mirrored, side_px - 1 - places, places) + 0.5) * ratio
    within = torch.floor(centre - support + 0.5) + torch.arange(width, device=device)
    weights = (1 - (within + 0.5 - centre).abs() / support).clamp(min=0)
    weights = weights.where((within >= 0) & (within <= last), 0)
    weights /= weights.sum(2, keepdim=True)
    return start + within.long().clamp(min=0).minimum(last), weights


def _taps(first: Tensor, within: Tensor, weights: Tensor) -> Taps:
    """Lay a filter out for the planes whose first rows are given."""
    rows = first + within[:, None]
    return Taps(rows, weights.float()[:, None].expand(rows.shape).contiguous())
