"""Colour: alpha over white, and an ICC profile to sRGB. Knows arrays, not slides."""

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi.errors import UnreadableSlideError

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

Pixels = npt.NDArray[np.uint8]


def over_white(rgba: Pixels) -> Pixels:
    """Straight (not premultiplied) alpha composited over white: u1 (h, w, 4) -> u1 (h, w, 3)."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.size == 0 or alpha.min() == 255:
        return np.ascontiguousarray(rgb)
    weight = alpha.astype(np.uint16)
    mixed = rgb * weight + 255 * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def to_srgb(rgb: Pixels, icc_profile: bytes) -> Pixels:
    """Pixels of the given ICC profile in sRGB (relative colorimetric): u1 (h, w, 3) -> the same.

    Raises:
        UnreadableSlideError: the profile is damaged or is not one of RGB.
    """
    from PIL import Image

    if rgb.size == 0:
        return rgb
    converted = _transform(icc_profile).apply(Image.fromarray(np.ascontiguousarray(rgb)))
    return np.array(converted)


@lru_cache(maxsize=8)
def _transform(icc_profile: bytes) -> "ImageCmsTransform":
    from PIL import ImageCms

    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(icc_profile)),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as err:
        raise UnreadableSlideError(f"the ICC profile cannot be used: {err}") from err
