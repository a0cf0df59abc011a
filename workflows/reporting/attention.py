"""Attention on a slide's thumbnail, for people: the colour of a patch is its rank in the slide."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.bags.patches import Patches

Rgb = NDArray[np.uint8]

MAX_PX = 460
"""Longest side of one of the two pictures."""
STRENGTH = 0.6
"""Share of the colour over the grey thumbnail."""
GAP_PX = 8

LOW_TO_HIGH = np.array(
    [
        [68, 1, 84],
        [65, 68, 135],
        [42, 120, 142],
        [34, 168, 132],
        [122, 209, 81],
        [253, 231, 37],
    ],
    np.float64,
)
"""Six of the colours of "viridis", which rise in brightness evenly and suit the colour-blind."""


def colours(values: NDArray[np.floating]) -> Rgb:
    """Colour values between 0 and 1, (…,) -> (…, 3)."""
    place = np.clip(values, 0, 1) * (len(LOW_TO_HIGH) - 1)
    whole = np.minimum(place.astype(int), len(LOW_TO_HIGH) - 2)
    part = (place - whole)[..., None]
    mixed = LOW_TO_HIGH[whole] * (1 - part) + LOW_TO_HIGH[whole + 1] * part
    return np.asarray(mixed.round(), np.uint8)


def ranks(attention: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give each value's mean rank as a share of 0 to 1, (n,); equal values have equal ranks."""
    from scipy.stats import rankdata

    if len(attention) < 2:
        return np.ones(len(attention))
    return np.asarray((rankdata(attention) - 1) / (len(attention) - 1), np.float64)


def draw_attention(bag: "Patches", attention: NDArray[np.floating], *, max_px: int = MAX_PX) -> Rgb:
    """Draw a slide's thumbnail, and beside it the attention over it in grey.

    Args:
        bag: the slide.
        attention: of its patches, (n,).
        max_px: longest side of one of the two pictures.

    Returns:
        Both side by side, (h, w, 3); only the attention where there is no thumbnail.
    """
    base = _base(bag, max_px)
    drawn = _paint(_grey(base), bag, ranks(attention), _extent(bag))
    if not _has_place(bag):
        return drawn
    gap = np.full((len(base), GAP_PX, 3), 255, np.uint8)
    return np.concatenate([base, gap, drawn], axis=1)


def _has_place(bag: "Patches") -> bool:
    """Whether the thumbnail shows where patches lie; that of imported patches is but a sheet."""
    return bag.level0_size is not None and bool(bag.attributes.get("grid"))


def _extent(bag: "Patches") -> tuple[float, float]:
    """Width and height in level-0 pixels of what is drawn."""
    if _has_place(bag) and bag.level0_size is not None:
        return float(bag.level0_size[0]), float(bag.level0_size[1])
    corner = bag.coords.max(axis=0) if len(bag) else np.zeros(2)
    width, height = corner + np.array(bag.level0_patch)
    return float(width), float(height)


def _base(bag: "Patches", max_px: int) -> Rgb:
    from PIL import Image

    if _has_place(bag):
        picture = Image.fromarray(np.ascontiguousarray(bag.store.thumbnail))
    else:
        width, height = _extent(bag)
        scale = max_px / max(width, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = Image.new("RGB", size, (255, 255, 255))
    picture.thumbnail((max_px, max_px), Image.Resampling.BOX)
    return np.array(picture)


def _grey(picture: Rgb) -> Rgb:
    grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return np.asarray(grey.round(), np.uint8)


def _paint(
    picture: Rgb, bag: "Patches", shares: NDArray[np.float64], extent: tuple[float, float]
) -> Rgb:
    """Lay colours over patches; each covers its stride, so that neighbours meet and none hides."""
    scale = np.array([picture.shape[1] / extent[0], picture.shape[0] / extent[1]])
    cell = np.minimum(bag.level0_stride, bag.level0_patch)
    starts = np.rint(bag.coords * scale).astype(int)
    stops = np.maximum(np.rint((bag.coords + cell) * scale).astype(int), starts + 1)
    painted = picture.astype(np.float64)
    for (left, top), (right, bottom), colour in zip(starts, stops, colours(shares), strict=True):
        painted[top:bottom, left:right] = (
            picture[top:bottom, left:right] * (1 - STRENGTH) + colour * STRENGTH
        )
    return np.asarray(painted.round(), np.uint8)
