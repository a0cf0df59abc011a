"""Small maps, enlarged to be looked at."""

import numpy as np
import pytest

from tests.workflows.mapping.maps import map_of, patchy
from tiling.tissuemap import bands
from workflows.mapping.areas import measure_areas
from workflows.mapping.enlarged import EnlargedMap, enlarged


@pytest.mark.parametrize("rows_px", [1, 5, 7, 100])
def test_every_pixel_becomes_a_square(rows_px: int) -> None:
    classes = patchy(13, 9)
    large = EnlargedMap(map_of(classes), 5)
    read = np.concatenate(list(bands(large, rows_px=rows_px)))
    np.testing.assert_array_equal(read, classes.repeat(5, axis=0).repeat(5, axis=1))


def test_areas_and_places_stay() -> None:
    small = map_of(patchy(13, 9))
    large = EnlargedMap(small, 7)
    one, other = measure_areas(small), measure_areas(large)
    assert other.area_mm2 == pytest.approx(one.area_mm2)
    corners = np.array([[9, 13], [2, 3]])
    assert large.frame.level0(7 * corners) == pytest.approx(small.frame.level0(corners))


@pytest.mark.parametrize(("shape", "factor"), [((1, 3), 171), ((256, 8), 2), ((511, 1), 2)])
def test_small_maps_are_enlarged_to_512_px(shape: tuple[int, int], factor: int) -> None:
    frame = enlarged(map_of(np.zeros(shape, np.uint8))).frame
    assert (frame.height_px, frame.width_px) == (shape[0] * factor, shape[1] * factor)


def test_large_maps_are_left_alone() -> None:
    source = map_of(np.zeros((2, 512), np.uint8))
    assert enlarged(source) is source
