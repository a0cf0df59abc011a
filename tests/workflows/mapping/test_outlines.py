"""Polygons of pieces: valid, with their holes, joined across bands, and exactly the pixels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.geometry import Polygon
from skimage.draw import polygon as fill

from tests.workflows.mapping.maps import SHAPES, Bytes, patchy
from tiling.tissuemap import NO_CLASS
from workflows.mapping.outlines import trace

Shapes = list[tuple[int, int, Polygon]]


def _polygons(classes: Bytes, rows: int) -> Shapes:
    """Class, area and polygon of every piece, from bands of so many rows."""
    bands = (classes[i : i + rows] for i in range(0, len(classes), rows))
    return [
        (int(found.classes[i]), int(found.pixels[i]), Polygon(rings[0], rings[1:]))
        for found in trace(bands, classes.shape[1])
        for i in range(len(found))
        for rings in [found.of_polygon(i)]
    ]


def _filled(shapes: Shapes, shape: tuple[int, int]) -> tuple[Bytes, np.ndarray]:
    """The class map that polygons show, by another rasteriser, and how often each pixel is met."""
    classes, count = np.full(shape, NO_CLASS, np.uint8), np.zeros(shape, int)
    for number, _, polygon in shapes:
        inside = np.zeros(shape, int)
        for ring, sign in [(polygon.exterior, 1), *((ring, -1) for ring in polygon.interiors)]:
            x, y = np.array(ring.coords).T - 0.5  # skimage counts from pixels' centres
            inside[fill(y, x, shape)] += sign
        assert ((inside == 0) | (inside == 1)).all()
        classes[inside == 1] = number
        count += inside
    return classes, count


def _check(classes: Bytes, rows: int) -> None:
    shapes = _polygons(classes, rows)
    for _, pixels, polygon in shapes:
        assert polygon.is_valid
        assert polygon.area == pixels > 0
        assert polygon.exterior.is_ccw  # where y grows upwards, as RFC 7946 has it
        assert not any(ring.is_ccw for ring in polygon.interiors)
    filled, count = _filled(shapes, classes.shape)
    np.testing.assert_array_equal(filled, classes)
    assert count.max(initial=0) <= 1
    pieces = sum(ndimage.label(classes == number)[1] for number in range(3))
    assert len(shapes) == pieces


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize("name", SHAPES)
def test_polygons_are_valid_and_exactly_the_pixels(name: str, rows: int) -> None:
    _check(np.array(SHAPES[name], np.uint8), rows)


@settings(deadline=None)  # the machine may be busy
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    rows=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.3, 0.7]),
)
def test_any_map_has_valid_polygons_that_are_its_pixels(
    shape: tuple[int, int], rows: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, shape).astype(np.uint8)
    classes[rng.random(shape) < share] = NO_CLASS
    _check(classes, rows)


def test_ragged_pieces_come_out_whole_from_bands() -> None:
    classes = patchy(131, 173)
    _check(classes, 16)
    in_bands, at_once = ({p.wkt for _, _, p in _polygons(classes, rows)} for rows in (16, 131))
    assert len(in_bands) == len(at_once)
    areas = [sorted(p.area for _, _, p in _polygons(classes, rows)) for rows in (16, 131)]
    assert areas[0] == areas[1]


def test_a_hole_touching_the_outline_is_a_hole() -> None:
    ((_, _, polygon),) = _polygons(np.array(SHAPES["a hole that touches the outline"], np.uint8), 1)
    assert len(polygon.interiors) == 1
    assert polygon.area == 7


def test_pixels_that_touch_at_a_corner_are_two_polygons() -> None:
    shapes = _polygons(np.array([[0, NO_CLASS], [NO_CLASS, 0]], np.uint8), 2)
    assert [pixels for _, pixels, _ in shapes] == [1, 1]


def test_polygons_are_given_out_as_soon_as_they_end() -> None:
    classes = np.full((40, 5), NO_CLASS, np.uint8)
    classes[2:4, 1:3] = classes[30:, 2:] = 1
    given_out = [len(found) for found in trace(np.split(classes, 4), 5)]
    assert given_out == [1, 0, 0, 0, 1]


MEMORY = """
import resource, sys
import numpy as np
from workflows.mapping.outlines import trace

width, height, rows = 100_000, 800, 80
row = np.repeat(np.arange(width // 100) % 4, 100).astype(np.uint8)
row[row == 3] = 255
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def bands():
    for top in range(0, height, rows):
        yield np.stack([np.roll(row, 7 * (y // 50)) for y in range(top, top + rows)])

found = sum(len(one) for one in trace(bands(), width))
assert found > 700, found
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_that_of_a_band_of_a_slide_100_000_px_wide() -> None:
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=root, check=True, capture_output=True, text=True
    )
    assert int(found.stdout) < 500_000  # KiB; a band is 8 MB, all of the map 80 MB
