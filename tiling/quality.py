"""What looks like tissue and is not: pen marks on the glass, and padding where nothing was scanned.

Works on a reduced picture of the slide, where a pen stroke is a band some pixels wide.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float32]
"""Red, green, blue from 0 to 255, (3, h, w)."""
Mask = NDArray[np.bool_]

MIN_PEN_UM2 = 100_000.0
"""Smallest pen mark in square microns: a fine felt tip is 300 um wide, so a dot is about this."""

PEN_RIM_UM = 100.0
"""How far a mark's blurred rim reaches beyond its full colour."""

MIN_GLASS_RIM = 0.3
"""Share of a mark's rim that is glass: marks lie on the glass, dark tissue lies in tissue."""

MAX_TEXTURE = 0.03
"""Largest mean deviation of brightness from its surroundings, of full scale: ink is even."""


@dataclass(frozen=True, slots=True)
class Ink:
    """The colours of one pen: hue in degrees (low > high wraps), saturation and value in [0, 1]."""

    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]


INKS = MappingProxyType(
    {
        # Haematoxylin is at 245 to 280 degrees, eosin at 315 to 345 (Ruifrok's vectors at
        # optical densities of 0.3 to 1.5, and the real slides); blue counterstains of IHC are
        # at 200 to 220 but pale.
        "blue": Ink((200, 243), (0.55, 1), (0.15, 1)),
        "green": Ink((75, 180), (0.30, 1), (0.10, 1)),
        "red": Ink((348, 18), (0.62, 1), (0.45, 1)),
        "black": Ink((0, 360), (0, 0.45), (0, 0.30)),
    }
)
"""What marker pens look like; every value was chosen on pictures."""


def hsv(rgb: Planes) -> tuple[NDArray[np.float32], ...]:
    """Return hue in degrees [0, 360), saturation and value in [0, 1], each (h, w)."""
    red, green, blue = rgb / 255
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.where(value == blue, 4 + (red - green) / safe, 2 + (blue - red) / safe)
    hue = np.where(value == red, ((green - blue) / safe) % 6, hue)
    hue = np.where(chroma > 0, hue * 60 % 360, 0)
    return hue, chroma / np.where(value > 0, value, 1), value


def in_band(
    picture: tuple[NDArray[np.float32], ...],
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> Mask:
    """Tell where hue, saturation and value lie in the bands, bounds included; hue may wrap."""
    low, high = hue
    hues = picture[0]
    inside = (hues >= low) & (hues <= high) if low <= high else (hues >= low) | (hues <= high)
    for plane, (least, most) in zip(picture[1:], (saturation, value), strict=True):
        inside &= (plane >= least) & (plane <= most)
    return np.asarray(inside, np.bool_)


def find_padding(rgb: Planes) -> Mask:
    """Tell where nothing was scanned: scanners fill with exact white or exact black, (h, w)."""
    return np.asarray((rgb.min(axis=0) == 255) | (rgb.max(axis=0) == 0))


def find_pen(rgb: Planes, glass: Mask, um_per_px: float) -> tuple[Mask, dict[str, float]]:
    """Find marker pen strokes on a brightfield slide.

    A stroke has a pen's colour, is large, even in brightness, and lies on glass. Blue stains are
    kept: haematoxylin by its hue, counterstains because they are pale, others by their texture.

    Args:
        rgb: the reduced picture, (3, h, w).
        glass: where it shows bright empty glass, (h, w).
        um_per_px: its resolution.

    Returns:
        The strokes with their rims (h, w), and the share of the picture per colour, for the record.
    """
    pen = np.zeros(glass.shape, np.bool_)
    picture, texture = hsv(rgb), _texture(rgb)
    shares: dict[str, float] = {}
    for name, ink in INKS.items():
        candidates = in_band(picture, ink.hue, ink.saturation, ink.value)
        marks = _strokes(candidates, glass, texture, um_per_px)
        pen |= marks
        shares[name] = round(float(marks.mean()), 5)
    return _with_rim(pen, um_per_px), shares


def _texture(rgb: Planes) -> NDArray[np.float32]:
    """Return how far each pixel's brightness is from the mean around it, in [0, 1], (h, w)."""
    from scipy import ndimage

    grey = rgb.mean(axis=0) / 255
    difference = np.abs(grey - ndimage.uniform_filter(grey, 5))
    return np.asarray(difference, np.float32)


def _strokes(candidates: Mask, glass: Mask, texture: NDArray[np.float32], um_per_px: float) -> Mask:
    """Return the connected candidates that are large, even inside, and lie on glass, (h, w)."""
    from scipy import ndimage

    core = ndimage.minimum_filter(candidates, 3)
    if np.count_nonzero(candidates) * um_per_px**2 < MIN_PEN_UM2 or not core.any():
        return np.zeros(glass.shape, np.bool_)
    labels, count = ndimage.label(ndimage.maximum_filter(core, 3), np.ones((3, 3)))
    area = np.bincount(labels.ravel(), minlength=count + 1)
    evenness = _mean_per_label(texture, np.where(core, labels, 0), count)
    near = ndimage.maximum_filter(labels, _reach_px(um_per_px))
    rim = np.where((labels == 0) & ~candidates, near, 0)
    on_glass = _mean_per_label(glass, rim, count)
    stroke = area * um_per_px**2 >= MIN_PEN_UM2
    stroke &= (evenness <= MAX_TEXTURE) & (on_glass >= MIN_GLASS_RIM)
    stroke[0] = False
    return np.asarray(stroke[labels], np.bool_)


def _mean_per_label(
    values: NDArray[np.float32] | Mask, labels: NDArray[np.int32], count: int
) -> NDArray[np.float64]:
    """Return the mean of values over each label, 0 where it has no pixel, (count + 1,)."""
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count + 1)
    sums = np.bincount(flat, values.ravel().astype(np.float64), minlength=count + 1)
    means: NDArray[np.float64] = sums / np.maximum(sizes, 1)
    return means


def _with_rim(pen: Mask, um_per_px: float) -> Mask:
    from scipy import ndimage

    return np.asarray(ndimage.maximum_filter(pen, _reach_px(um_per_px)), np.bool_)


def _reach_px(um_per_px: float) -> int:
    """Return the width of the window that reaches over a mark's rim on every side."""
    return 2 * max(1, round(PEN_RIM_UM / um_per_px)) + 1
