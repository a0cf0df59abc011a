"""Averaging by area against exact fractional weights, one output pixel after the other."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiling.archives import Pixels, decibel
from tiling.area import reduce_area


def slow_average(
    pixels: Pixels,
    offset: tuple[float, float],
    extent: tuple[float, float],
    width: int,
    height: int,
) -> npt.NDArray[np.float64]:
    """Each output pixel is the sum of pixel x covered area, over the covered area."""
    means = np.zeros((height, width, 3))
    for i in range(height):
        top, bottom = (offset[1] + extent[1] * n / height for n in (i, i + 1))
        for j in range(width):
            left, right = (offset[0] + extent[0] * n / width for n in (j, j + 1))
            area = 0.0
            for y in range(int(top), min(int(np.ceil(bottom)), pixels.shape[0])):
                for x in range(int(left), min(int(np.ceil(right)), pixels.shape[1])):
                    share = (min(bottom, y + 1) - max(top, y)) * (min(right, x + 1) - max(left, x))
                    means[i, j] += share * pixels[y, x]
                    area += share
            means[i, j] /= area
    return means


@settings(max_examples=60, deadline=None)  # the twin is slow, and the machine may be busy
@given(
    width=st.integers(1, 6),
    height=st.integers(1, 6),
    reduction=st.tuples(st.floats(1, 4), st.floats(1, 4)),
    offset=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    seed=st.integers(0, 2**32),
)
def test_equals_a_slow_twin(
    width: int,
    height: int,
    reduction: tuple[float, float],
    offset: tuple[float, float],
    seed: int,
) -> None:
    extent = width * reduction[0], height * reduction[1]
    columns, rows = (int(np.ceil(o + e)) for o, e in zip(offset, extent, strict=True))
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    found = reduce_area(pixels, np.array(offset), np.array(extent), width, height)
    assert found.shape == (height, width, 3)
    expected = slow_average(pixels, offset, extent, width, height)
    # Rounded to whole grey levels; Pillow, for whole factors, may round 2/3 down (factor 3).
    assert np.abs(found - expected).max() <= 0.67


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_whole_reductions_are_means_of_blocks(factor: int, tissue_pixels: Pixels) -> None:
    pixels = tissue_pixels[: 24 * factor, : 24 * factor]
    found = reduce_area(pixels, np.zeros(2), np.full(2, 24.0 * factor), 24)
    expected = pixels.reshape(24, factor, 24, factor, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(found - expected).max() <= 0.6  # Pillow divides in fixed point


def test_what_need_not_be_reduced_is_not_touched(tissue_pixels: Pixels) -> None:
    pixels = tissue_pixels[:32, :32]
    found = reduce_area(pixels, np.full(2, 1e-9), np.full(2, 32 - 1e-9), 32)
    assert found is pixels


def test_a_box_that_ends_inside_a_pixel_is_not_taken_for_the_whole(tissue_pixels: Pixels) -> None:
    """511.5 px to 256: not the 512 px that hold them, whose far edge is half a pixel off."""
    pixels = tissue_pixels[:512, :512]
    found = reduce_area(pixels, np.zeros(2), np.full(2, 511.5), 256)
    shifted = reduce_area(pixels, np.zeros(2), np.full(2, 512.0), 256)
    assert not np.array_equal(found, shifted)
    at = 511.5 * np.arange(257) / 256
    row = slow_average(pixels[:2], (at[255], 0.0), (at[256] - at[255], at[1]), 1, 1)
    assert np.abs(found[0, 255] - row[0, 0]).max() <= 0.51


def test_tissue_is_not_picked_but_averaged(tissue_pixels: Pixels) -> None:
    """What Pillow's BOX filter makes of 2.15 px is not the mean over areas."""
    from PIL import Image

    pixels = tissue_pixels[:276, :276]
    extent = 128 * 2.15
    found = reduce_area(pixels, np.zeros(2), np.full(2, extent), 128)
    corner = slow_average(pixels, (0, 0), (16 * 2.15, 16 * 2.15), 16, 16)
    assert np.abs(found[:16, :16] - corner).max() <= 0.51
    box = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BOX, (0, 0, extent, extent))
    assert decibel(np.asarray(box), found) < 34
