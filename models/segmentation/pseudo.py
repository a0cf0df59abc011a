"""From class activation maps and a patch's label to a mask that stands in for the true one."""

import logging
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

log = logging.getLogger(__name__)

WHITE_ABOVE = 200
"""Grey level above which a pixel may be background (source)."""
WHITE_PX = 50
"""Pixels of the smallest piece of background (source)."""
WHITE_SCORE = 1.000001
"""Of background, so that it wins against all classes, whose scores end at 1 (source)."""
ABSENT = -1.0
"""Of a class that the patch does not hold, so that it loses against all others (our choice)."""
LIKELY = 0.25
"""Probability above which a class counts as there where no label says so (METHODS 10.6)."""
LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in grey, ITU-R BT.601 (our choice: the source says not which grey)."""


class PseudoMasks(NamedTuple):
    """Masks of B patches.

    Attributes:
        masks: class of each pixel, C for background or nothing known, uint8 (B, H, W).
        empty: patches that have no mask, so C everywhere, bool (B,).
    """

    masks: Tensor
    empty: Tensor


def pseudo_masks(
    cams: Tensor, labels: Tensor, size_px: tuple[int, int], *, white: Tensor | None = None
) -> PseudoMasks:
    """Make masks of one layer's maps (METHODS 10.4).

    Maps are brought to the patch's size (bilinear), all classes of a patch are scaled together to
    0 to 1, classes that its label does not name are left out, and the largest is taken; where
    classes are equal, the first.

    Differs from the source: absent classes have -1 instead of 0, so that they never win a tie; a
    patch without any class, or with a constant map, is background (both our choice). Classes that
    are not known count as absent.

    Args:
        cams: of all classes, float (B, C, h, w).
        labels: 1, 0 or -1 per class, (B, C).
        size_px: height and width of the patches.
        white: which pixels are background, bool (B, H, W); None where white is tissue (BCSS).
    """
    classes = cams.shape[1]
    scaled, constant = _scaled(_resized(cams, size_px))
    present = labels.to(cams.device) == 1
    unlabelled = ~present.any(dim=1)
    masks = _largest(scaled, present, white)
    empty = unlabelled | constant
    masks[empty] = classes
    _warn(unlabelled, constant & ~unlabelled)
    return PseudoMasks(masks, empty)


def white_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find background: grey above 200, in pieces of at least 50 pixels that touch at their sides.

    Args:
        pixels: RGB (B, H, W, 3), or one patch (H, W, 3).

    Returns:
        (B, H, W), or (H, W).
    """
    if pixels.ndim == 4:
        return np.stack([white_pixels(patch) for patch in pixels])
    bright = pixels.astype(np.float64) @ np.array(LUMA) > WHITE_ABOVE
    pieces, _ = ndimage.label(bright)  # neighbours at sides alone (our choice)
    large = np.bincount(pieces.ravel()) >= WHITE_PX
    large[0] = False
    return np.asarray(large[pieces])


def predicted_masks(cams: Tensor, probabilities: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Say what maps alone say, uint8 (B, H, W): the check of stage 1 (METHODS 10.6).

    ReLU of the maps, classes of p > .25 alone, scaled together, largest. Differs from the source:
    classes that are left out have -1, and where none is likely the likeliest is taken (our choice).

    Args:
        cams: of all classes, (B, C, h, w).
        probabilities: of stage 1, (B, C).
        size_px: height and width of the patches.
    """
    likely = probabilities > LIKELY
    best = functional.one_hot(probabilities.argmax(dim=1), probabilities.shape[1]).bool()
    present = torch.where(likely.any(dim=1, keepdim=True), likely, best)
    scores = _resized(cams, size_px).relu() * present[:, :, None, None]
    return _largest(_scaled(scores)[0], present, None)


def _resized(cams: Tensor, size_px: tuple[int, int]) -> Tensor:
    return functional.interpolate(cams.float(), size_px, mode="bilinear", align_corners=False)


def _scaled(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Scale the classes of each patch together; also say which patches are constant, (B,)."""
    low, high = maps.amin(dim=(1, 2, 3)), maps.amax(dim=(1, 2, 3))
    span = high - low
    constant = ~(span > 0)  # NaN too
    whole = torch.where(constant, 1.0, span)[:, None, None, None]
    return (maps - low[:, None, None, None]) / whole, constant


def _largest(scaled: Tensor, present: Tensor, white: Tensor | None) -> Tensor:
    scores = torch.where(present[:, :, None, None], scaled, ABSENT)
    if white is not None:
        plane = torch.where(white.to(scores.device), WHITE_SCORE, ABSENT)
        scores = torch.cat([scores, plane[:, None]], dim=1)
    return scores.argmax(dim=1).to(torch.uint8)


def _warn(unlabelled: Tensor, constant: Tensor) -> None:
    if unlabelled.any():
        log.warning(
            "%d of %d patches hold no class; their masks are background",
            int(unlabelled.sum()),
            len(unlabelled),
        )
    if constant.any():
        log.warning(
            "%d of %d patches have the same score everywhere; their masks are background",
            int(constant.sum()),
            len(constant),
        )
