"""Where a picture of a slide is stained: the thresholds behind every mask that is not given.

Two worlds, told apart by the background: brightfield (bright glass, tissue absorbs) and
fluorescence (dark background, tissue shines). Works on a reduced picture, colour planes first:
(3, h, w); sizes and shapes are cleaned later.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiling.quality import Mask, Planes, hsv, in_band

DARK_MEDIAN = 64
"""A picture whose median brightness (largest channel, 0-255) is lower has a dark background ..."""

MAX_BRIGHT_SHARE = 0.05
"""... unless more than this share is near-white: then it is brightfield with black padding."""

GLASS_MIN = 160
"""Glass is at least this bright in every channel (0-255)."""

GLASS_OF_BRIGHTEST = 0.93
"""Glass is at least this share of the picture's brightest percent."""

GLASS_SATURATION = 0.08
"""Glass is no more saturated; the lamp's tint is below 0.05 on all slides seen."""

DEFAULT_WHITE = 245.0
"""White point where a picture shows no glass."""

SATURATION_CAP = 0.2
"""Saturation is cut off here before Otsu, so that a strong stain does not lift the threshold over
pale tissue: fat and pale stroma are tissue."""

SATURATION_RANGE = (0.05, 0.2)
"""Otsu's threshold is kept within: below is JPEG's noise on glass, above is tissue for sure."""

MIN_CONTRAST = 0.2
"""Mean saturation above Otsu's threshold that a stained slide reaches; less is no second mode."""

MAX_BETWEEN = 0.25
"""Share of the coloured pixels that may lie below Otsu's threshold; more: it splits the tissue."""

MIN_GLASS_SHARE = 0.01
"""With less glass than this a picture is all tissue, and Otsu has no background to find."""

ABSORBANCE = 0.07
"""Fallback: tissue takes more than this share of the light out of some channel."""

SMOOTH_UM = 20.0
"""Window of the smoothing in brightfield: a cell, so that nuclei and cytoplasm are one tissue."""

SMOOTH_DARK_UM = 45.0
"""Window in fluorescence: nuclei are separate there, tissue is where they are near each other."""

NOMINAL_UM = 4.0
"""Microns per pixel that smoothing presumes where the resolution is unknown."""

SAMPLE = 50_000
"""Values that are enough for a median or a percentile."""

MIN_SIGNAL = 2.0
"""Fluorescent tissue shines at least this many times as bright as the darkest background."""


class Stained(NamedTuple):
    """What a threshold found."""

    mask: Mask
    """Candidate tissue, (h, w)."""
    glass: Mask
    """Bright empty glass, (h, w); nowhere in fluorescence."""
    parameters: dict[str, Any]
    """Branch and thresholds, for the record."""


def is_fluorescence(rgb: Planes) -> bool:
    """Tell whether the background is dark and tissue the bright part."""
    bright = float((rgb.min(axis=0) > GLASS_MIN).mean())
    return bool(np.median(rgb.max(axis=0)) < DARK_MEDIAN and bright < MAX_BRIGHT_SHARE)


def fluorescent(rgb: Planes, um_per_px: float | None) -> Stained:
    """Find tissue on a dark background: Otsu on the logarithm of the smoothed brightness."""
    window = _window(SMOOTH_DARK_UM, um_per_px)
    brightness = _smooth(_smooth(rgb.max(axis=0), window), window)
    levels = np.log2(brightness + 1)
    otsu = 2.0 ** otsu_threshold(levels) - 1
    floor = MIN_SIGNAL * (float(np.percentile(brightness, 1)) + 1)
    used = max(otsu, floor)
    parameters = {
        "branch": "fluorescence",
        "smoothing_px": window,
        "otsu_brightness": round(otsu, 4),
        "brightness_threshold": round(used, 4),
    }
    return Stained(brightness > used, np.zeros(levels.shape, np.bool_), parameters)


def stained(rgb: Planes, ignore: Mask, um_per_px: float | None) -> Stained:
    """Find tissue on bright glass: Otsu on saturation, or absorbance where that cannot work.

    Saturation is taken after the glass was made white. Otsu presupposes glass and one stain that
    stands out; a crop full of tissue, a pale stain, or brown on blue (grey, once smoothed) break
    that, and then whatever absorbs is tissue.

    Args:
        rgb: the reduced picture, (3, h, w).
        ignore: padding, which would be a third mode, (h, w).
        um_per_px: its resolution, None where unknown.
    """
    window = _window(SMOOTH_UM, um_per_px)
    smooth = _smooth(rgb, window)
    glass = find_glass(smooth, ignore)
    light = np.minimum(smooth / white_point(smooth, glass)[:, None, None], 1)
    least, most = light.min(axis=0), light.max(axis=0)
    saturation = (most - least) / np.maximum(most, 1e-3)
    parameters, use_otsu = _otsu(saturation[~ignore], float(glass.mean()))
    if use_otsu:
        branch, mask = "otsu", saturation > parameters["saturation_threshold"]
    else:
        branch, mask = "absorbance", least < 1 - ABSORBANCE
        parameters["absorbance_threshold"] = ABSORBANCE
    record = {"branch": branch, "smoothing_px": window, **parameters}
    return Stained(mask & ~ignore, glass, record)


def in_hsv_band(
    rgb: Planes,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
    um_per_px: float | None,
) -> Stained:
    """Find the pixels of a band of hue (degrees), saturation and value ([0, 1])."""
    window = _window(SMOOTH_UM, um_per_px)
    smooth = _smooth(rgb, window)
    mask = in_band(hsv(smooth), hue, saturation, value)
    glass = find_glass(smooth, np.zeros(mask.shape, np.bool_))
    bands = {"hue": list(hue), "saturation": list(saturation), "value": list(value)}
    return Stained(mask, glass, {"branch": "hsv", "smoothing_px": window, **bands})


def find_glass(rgb: Planes, ignore: Mask) -> Mask:
    """Tell where a brightfield picture shows empty glass, (h, w)."""
    least, most = rgb.min(axis=0), rgb.max(axis=0)
    seen = _sample(least[~ignore])
    brightest = float(np.percentile(seen, 99)) if seen.size else 255.0
    bright = least >= max(GLASS_MIN, GLASS_OF_BRIGHTEST * brightest)
    grey = most - least <= GLASS_SATURATION * np.maximum(most, 1)
    return np.asarray(bright & grey & ~ignore)


def white_point(rgb: Planes, glass: Mask) -> NDArray[np.float32]:
    """Return the colour of the brighter half of the glass, (3,)."""
    if glass.mean() < MIN_GLASS_SHARE:
        return np.full(3, DEFAULT_WHITE, np.float32)
    colours = _sample(rgb[:, glass])
    brightness = colours.sum(axis=0)
    brighter = colours[:, brightness >= np.median(brightness)]
    return np.asarray(np.median(brighter, axis=1), np.float32)


def _otsu(saturation: NDArray[np.float32], glass_share: float) -> tuple[dict[str, Any], bool]:
    """Return the thresholds and whether the histogram has the two modes that Otsu needs."""
    capped = np.minimum(saturation, SATURATION_CAP)
    otsu = otsu_threshold(capped)
    used = float(np.clip(otsu, *SATURATION_RANGE))
    above = saturation[saturation > used]
    coloured = np.count_nonzero(saturation > SATURATION_RANGE[0] * 0.8)
    contrast = float(above.mean()) if above.size else 0.0
    between = 1 - above.size / coloured if coloured else 0.0
    parameters = {
        "glass_share": round(glass_share, 4),
        "otsu_saturation": round(otsu, 4),
        "saturation_threshold": round(used, 4),
        "contrast": round(contrast, 4),
        "share_between": round(between, 4),
    }
    modes = contrast >= MIN_CONTRAST and between <= MAX_BETWEEN
    return parameters, modes and glass_share >= MIN_GLASS_SHARE


def _sample(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every n-th value of the last axis, so that a median costs little."""
    return values[..., :: max(1, values.shape[-1] // SAMPLE)]


def otsu_threshold(values: NDArray[np.float32]) -> float:
    """Return the threshold that parts values best into two classes, 0 where all are equal.

    N. Otsu, *A Threshold Selection Method from Gray-Level Histograms*, 1979: of 256 equal bins, the
    centre of the last one of the lower class at the largest variance between the classes.
    """
    if values.size == 0 or np.ptp(values) == 0:
        return 0.0
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()[:-1]
    above = values.size - below
    sums = (counts * centres).cumsum()
    gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    return float(centres[np.argmax(below * above * gap**2)])


def _window(um: float, um_per_px: float | None) -> int:
    """Return about so many pixels as a length has, an odd number of at least 3."""
    return max(3, round(um / (um_per_px or NOMINAL_UM)) // 2 * 2 + 1)


def _smooth(values: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Return means over a square window of the last two axes."""
    from scipy import ndimage

    size = (*[1] * (values.ndim - 2), window, window)
    return np.asarray(ndimage.uniform_filter(values, size, mode="nearest"), np.float32)
