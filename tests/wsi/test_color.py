"""Alpha over white against one pixel at a time; profiles whose answer is visible."""

import numpy as np
import pytest
from PIL import ImageCms

from wsi.color import Pixels, over_white, to_srgb
from wsi.errors import UnreadableSlideError


def slow_over_white(rgba: Pixels) -> Pixels:
    rgb = np.empty((*rgba.shape[:2], 3), dtype=np.uint8)
    for row, column in np.ndindex(rgba.shape[:2]):
        *color, alpha = (int(value) for value in rgba[row, column])
        for channel, value in enumerate(color):
            rgb[row, column, channel] = round(value * alpha / 255 + 255 - alpha)
    return rgb


def srgb_profile() -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def test_over_white_equals_the_slow_twin() -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (31, 17, 4), dtype=np.uint8)
    np.testing.assert_array_equal(over_white(rgba), slow_over_white(rgba))


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 10)])
def test_clear_is_white_and_opaque_is_itself(alpha: int, expected: int) -> None:
    rgba = np.full((2, 3, 4), 10, dtype=np.uint8)
    rgba[..., 3] = alpha
    assert (over_white(rgba) == expected).all()


def test_no_pixels_stay_no_pixels() -> None:
    assert over_white(np.zeros((0, 5, 4), dtype=np.uint8)).shape == (0, 5, 3)
    assert to_srgb(np.zeros((5, 0, 3), dtype=np.uint8), srgb_profile()).shape == (5, 0, 3)


def test_srgb_to_srgb_changes_nothing() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.abs(to_srgb(rgb, srgb_profile()).astype(int) - rgb).max() <= 1


def test_a_profile_with_red_and_blue_swapped_swaps_them() -> None:
    swapped = srgb_profile().replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ")
    swapped = swapped.replace(b"tmp!", b"bXYZ")
    rgb = np.zeros((2, 2, 3), dtype=np.uint8)
    rgb[..., 0] = 255
    assert to_srgb(rgb, swapped)[0, 0].tolist() == pytest.approx([0, 0, 255], abs=3)


@pytest.mark.parametrize("profile", [b"", b"no profile", bytes(500)])
def test_a_damaged_profile_is_said_to_be_so(profile: bytes) -> None:
    with pytest.raises(UnreadableSlideError, match="the ICC profile cannot be used"):
        to_srgb(np.zeros((2, 2, 3), dtype=np.uint8), profile)
