"""Crop, resize, flip and turn: every picture of a batch with a box of its own, in two passes."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from models.augment.chunks import Portions
from models.augment.params import Bools, Floats, Ints, ViewParams
from models.augment.storage import take_rows
from models.augment.taps import Taps, mix_rows


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

    Bilinear or bicubic, with antialiasing where a crop is shrunk, as torchvision's tensors and PIL
    do; MoCo v3 and SimCLR crop bilinearly too (torchvision's default). Flips are exact; a quarter
    turn is `numpy.rot90` up to the rounding of a float32.

    The quickest way from rows of RGB pixels to planes leaves a picture lying: transposed. What is
    done to pixels one by one does not mind, a blur can stand it up, and half of the turned pictures
    are meant to be so.

    Attributes:
        pixels: uint8 `(N, P, P, 3)`.
        order: number of the patch of each picture, `(N,)`.
        lying: whether `cut` gives the transpose of the picture, `(N,)`.
        rows: taps of the patches' rows.
        columns: taps of their columns, after the rows; they also scale to [0, 1].
        overshoots: values may leave [0, 1], as those of bicubic pictures do, and are cut.
    """

    pixels: Tensor
    order: Ints
    lying: Bools
    rows: Taps
    columns: Taps
    overshoots: bool = False

    @classmethod
    def of(
        cls,
        pixels: Tensor,
        params: ViewParams,
        portions: Portions,
        side_px: int,
        *,
        cubic: bool = False,
    ) -> Self:
        """Prepare what was drawn, rows of `params` in the order of the portions."""
        device, patch_px = pixels.device, pixels.shape[1]
        rows, columns = (
            _filter(span, side_px, device, cubic=cubic) for span in _spans(params, patch_px)
        )
        first = torch.from_numpy(portions.places * patch_px).to(device)[:, None, None]
        planes = 3 * first[:, None] + patch_px * torch.arange(3, device=device)[:, None, None]
        return cls(
            pixels,
            portions.order,
            params.turn % 2 == 0,
            Taps.of(first, *rows),
            Taps.of(planes, columns[0][:, None], columns[1][:, None] / 255),
            cubic,
        )

    def cut(self, part: slice) -> Tensor:
        """Give the pictures of a part of the order, float32 (n, 3, side, side) in [0, 1]."""
        patches = take_rows(self.pixels, self.order[part]).float()
        low = mix_rows(patches.flatten(2), self.rows.part(part))
        planes = low.view(*low.shape[:2], -1, 3).permute(0, 3, 2, 1)
        pictures = mix_rows(planes.contiguous(), self.columns.part(part))
        return pictures.clamp_(0, 1) if self.overshoots else pictures


@dataclass(frozen=True, slots=True)
class Turner:
    """Turns pictures that are cut already, by the same quarters: exactly as `numpy.rot90` does.

    Attributes:
        upright: `(N, 3, S, S)`.
        order: number of each picture in it, `(N,)`.
        quarters: counter-clockwise.
        lying: as of a `Resampler`; none is.
    """

    upright: Tensor
    order: Ints
    quarters: int
    lying: Bools

    @classmethod
    def of(cls, upright: Tensor, params: ViewParams, portions: Portions) -> Self:
        """Prepare one turn for all."""
        quarters = int(params.turn.max(initial=0))
        return cls(upright, portions.order, quarters, np.zeros(len(params), np.bool_))

    def cut(self, part: slice) -> Tensor:
        """Give the turned pictures of a part of the order, (n, 3, S, S)."""
        return take_rows(self.upright, self.order[part]).rot90(self.quarters, (2, 3)).contiguous()


def _spans(params: ViewParams, patch_px: int) -> tuple[_Span, _Span]:
    """Give the spans of the patches' rows and columns."""
    length = _lengths(params.crop[:, :2], patch_px)
    # as torchvision: any whole pixel from which the crop fits, equally likely
    start = (params.crop[:, 2:] * (patch_px - length + 1)).astype(np.int64)
    # rot90 is a transposition and an up-down flip: of what were columns
    turned = np.stack([np.isin(params.turn, (2, 3)), np.isin(params.turn, (1, 2))], axis=1)
    mirrored = params.flip ^ turned
    rows, columns = (_Span(start[:, i], length[:, i], mirrored[:, i]) for i in (0, 1))
    return rows, columns


def _lengths(shares: Floats, patch_px: int) -> Ints:
    return np.maximum(np.rint(shares * patch_px), 1).astype(np.int64)


def _filter(
    span: _Span, side_px: int, device: torch.device, *, cubic: bool
) -> tuple[Tensor, Tensor]:
    """Give the pixels that make each of `side_px` pixels, and their weights, (n, side, K).

    The weights are a triangle, one pixel wide on each side, or one of the output's if larger; or
    the cubic of Keys, twice as wide.
    """
    reach = 2 if cubic else 1
    start, last, mirrored = (
        torch.from_numpy(part).to(device)[:, None, None]
        for part in (span.start, span.length - 1, span.mirrored)
    )
    ratio = (last + 1).double() / side_px
    scale = ratio.clamp(min=1)
    support = reach * scale
    width = max(2 * reach, int(np.ceil(2 * reach * span.length.max(initial=1) / side_px)))
    places = torch.arange(side_px, device=device)[:, None]
    centre = (torch.where(mirrored, side_px - 1 - places, places) + 0.5) * ratio
    within = torch.floor(centre - support + 0.5) + torch.arange(width, device=device)
    away = (within + 0.5 - centre).abs() / scale
    weights = _keys(away) if cubic else (1 - away).clamp(min=0)
    weights = weights.where((within >= 0) & (within <= last), 0)
    weights /= weights.sum(2, keepdim=True)
    return start + within.long().clamp(min=0).minimum(last), weights.float()


def _keys(away: Tensor) -> Tensor:
    """Give the cubic weights of pixels that are so far away, with a = -.5 as PIL has it.

    R. Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions on
    Acoustics, Speech, and Signal Processing 29 (1981), equation (15).
    """
    near = (1.5 * away - 2.5) * away**2 + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    return torch.where(away < 1, near, torch.where(away < 2, far, 0))
