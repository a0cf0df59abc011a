"""How likely what is: the law of one view, and the views that make a preset."""

from dataclasses import dataclass
from typing import Literal

BlurReach = Literal["tenth", "four-sigma"]

BLUR_SIGMA_PX = (0.1, 2.0)
"""Of every self-supervised preset that blurs (METHODS 2.4)."""


@dataclass(frozen=True, slots=True)
class View:
    """The law of one view of a patch; steps come in the order of the fields.

    Attributes:
        local: as large as the preset's local views, not as the others.
        cubic: crops are resized bicubically, not bilinearly.
        crop: smallest and largest area of the random resized crop, as shares of the patch; None
            takes the whole patch.
        flip: chances of an up-down and of a left-right flip.
        turns: any of the four quarter turns, each equally likely.
        tilt: largest angle in degrees by which it is turned either way; what comes in is black.
        autocontrast: chance that each channel is stretched to the whole range.
        equalize: chance that the histogram of each channel is made even.
        stain: strength of the stain jitter; 0 has none.
        jitter: strengths of brightness, contrast, saturation and hue.
        jitter_share: chance that colours are jittered at all.
        grey: chance of a grey picture.
        blur: chance of a Gaussian blur.
        blur_sigma_px: smallest and largest sigma of it, uniform between them.
        blur_reach: where the blur's kernel ends: at a tenth of the side in all, or 4 sigma away.
        solarize: chance that values from .5 up are inverted.
    """

    local: bool = False
    cubic: bool = False
    crop: tuple[float, float] | None = None
    flip: tuple[float, float] = (0.0, 0.0)
    turns: bool = False
    tilt: float = 0.0
    autocontrast: float = 0.0
    equalize: float = 0.0
    stain: float = 0.0
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter_share: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    blur_sigma_px: tuple[float, float] = BLUR_SIGMA_PX
    blur_reach: BlurReach = "tenth"
    solarize: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """The views of a preset.

    Attributes:
        views: one law each.
        rotations: the views are the quarter turns of one picture: crop and flips are shared, view k
            is turned k times counter-clockwise.
        strength: what the jitter is multiplied with unless something else is asked for; None where
            there is no jitter.
        pristine: the first view is the patch itself, so nothing may be added to the views.
    """

    views: tuple[View, ...]
    rotations: bool = False
    strength: float | None = None
    pristine: bool = False
