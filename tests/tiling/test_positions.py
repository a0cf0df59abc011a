"""Zones of tissue and serial sections."""

import math

import numpy as np
import pytest

from tiling.errors import PlanError
from tiling.positions import Section, section_classes, zones


def slow(mask: np.ndarray, row: int, column: int) -> float:
    """Distance of a pixel to the nearest one without tissue, beyond the picture too."""
    height, width = mask.shape
    found = math.inf
    for y in range(-1, height + 1):
        for x in range(-1, width + 1):
            inside = 0 <= y < height and 0 <= x < width
            if not (inside and mask[y, x]):
                found = min(found, math.hypot(y - row, x - column))
    return found


def test_zones_are_shares_of_the_deepest_place_of_their_piece() -> None:
    mask = np.zeros((14, 20), np.uint8)
    mask[1:12, 1:10] = 1
    mask[4:9, 13:18] = 1
    places = [(y, x) for y in range(14) for x in range(20)]
    found = zones(mask, np.array(places, np.float64), 3)
    deepest = {0: 5.0, 1: 3.0}
    for (y, x), zone in zip(places, found.tolist(), strict=True):
        share = slow(mask, y, x) / deepest[int(x > 11)] if mask[y, x] else 0.0
        assert zone == min(int(share * 3), 2)
    assert set(found[[mask[y, x] > 0 for y, x in places]].tolist()) == {0, 1, 2}


def test_the_edge_of_the_picture_is_a_border_too() -> None:
    found = zones(np.ones((9, 9), np.uint8), np.array([[0.0, 4.0], [4.0, 4.0]]), 4)
    assert found.tolist() == [0, 3]


def test_a_slide_without_tissue_is_all_in_the_outermost_zone() -> None:
    assert zones(np.zeros((4, 4), np.uint8), np.array([[1.0, 1.0]]), 4).tolist() == [0]


def test_sections_of_a_block_are_cut_in_their_order() -> None:
    given = [Section(f"s{i}", "p", 10 - i) for i in range(4)] + [Section("t", "q", 7)]
    assert section_classes(given, 2) == {"s3": 0, "s2": 0, "s1": 1, "s0": 1, "t": 0}


def test_two_sections_with_one_place_are_refused() -> None:
    with pytest.raises(PlanError, match="two sections of p have the same place"):
        section_classes([Section("a", "p", 1), Section("b", "p", 1)], 2)


def test_no_zones_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 zone"):
        zones(np.ones((2, 2), np.uint8), np.zeros((1, 2)), 0)
