"""The streaming area mean against exact rectangles, one at a time."""

import numpy as np
import pytest

from wsi.area import AreaMean
from wsi.contract import slow_area_mean


@pytest.mark.parametrize("band", [1, 7, 64, 65, 1000])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (13, 9), (60, 100), (171, 133)])
def test_area_mean_equals_the_slow_twin(band: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(band).integers(0, 256, (171, 133, 3), dtype=np.uint8)
    mean = AreaMean((133, 171), (height, width))
    for top in range(0, 171, band):
        mean.add(pixels[top : top + band])
    expected = slow_area_mean(pixels, height, width)
    assert np.abs(mean.result() - expected).max() <= 0.5 + 1e-3


def test_a_fractional_extent_leaves_out_the_rest_of_the_last_pixel() -> None:
    row = np.array([[[10] * 3, [20] * 3, [90] * 3]], dtype=np.uint8)
    mean = AreaMean((2.5, 1), (1, 1))
    mean.add(row)
    assert mean.result()[0, 0, 0] == round((10 + 20 + 45) / 2.5)


def test_rows_below_the_extent_do_not_count() -> None:
    mean = AreaMean((1, 2), (2, 1))
    mean.add(np.array([[[10] * 3], [[20] * 3], [[200] * 3]], dtype=np.uint8))
    assert mean.result()[:, 0, 0].tolist() == [10, 20]
