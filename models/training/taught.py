"""What a training says of the patches that it learned from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.data import SlideInfo
from models.encoders.card import MPP_TOLERANCE


def common_mpp(slides: Sequence[SlideInfo]) -> float | None:
    """Give the microns per pixel of slides; None where one is not known, or they differ."""
    values = np.array([np.nan if slide.mpp is None else slide.mpp for slide in slides])
    middle = float(np.median(values))
    return middle if (np.abs(values / middle - 1) <= MPP_TOLERANCE).all() else None


def describe_patches(slides: Sequence[SlideInfo], patches: int, patch_px: int) -> dict[str, Any]:
    """Count patches of slides, as JSON values."""
    return {
        "patches": patches,
        "slides": len(slides),
        "patients": len({slide.patient or slide.slide_id for slide in slides}),
        "patch_px": patch_px,
        "mpp": common_mpp(slides),
    }
