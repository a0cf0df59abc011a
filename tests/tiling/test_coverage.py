"""Fractions of patches against a slow twin that cuts every mask pixel with every patch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tiling.coverage import patch_fractions, summed_area


def _overlap(a0: float, a1: float, b0: float, b1: float) -> float:
    return max(0.0, min(a1, b1) - max(a0, b0))


def slow_fraction(
    mask: NDArray[np.bool_],
    x: float,
    y: float,
    footprint: tuple[float, float],
    size: tuple[int, int],
) -> float:
    """Sum the areas that the patch shares with each true mask pixel, in level-0 px."""
    height, width = mask.shape
    px, py = size[0] / width, size[1] / height
    covered = 0.0
    for row, column in np.argwhere(mask):
        across = _overlap(x, x + footprint[0], column * px, (column + 1) * px)
        covered += across * _overlap(y, y + footprint[1], row * py, (row + 1) * py)
    return covered / (footprint[0] * footprint[1])


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    footprint=st.tuples(st.floats(0.5, 300), st.floats(0.5, 300)),
    corners=st.lists(st.tuples(st.floats(-400, 600), st.floats(-400, 600)), max_size=5),
)
def test_fractions_agree_with_the_slow_twin(
    seed: int,
    shape: tuple[int, int],
    size: tuple[int, int],
    footprint: tuple[float, float],
    corners: list[tuple[float, float]],
) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.5
    coords = np.array(corners, np.float64).reshape(-1, 2)
    fast = patch_fractions(mask, coords, footprint, size)
    slow = [slow_fraction(mask, x, y, footprint, size) for x, y in corners]
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, slow, atol=2e-5)


def test_a_patch_over_the_edge_counts_the_outside_as_no_tissue() -> None:
    mask = np.ones((10, 10), np.bool_)
    coords = np.array([[0, 0], [-50, 0], [50, 50], [75, 75], [100, 0], [-200, -200]])
    fractions = patch_fractions(mask, coords, (100, 100), (100, 100))
    assert fractions.tolist() == [1.0, 0.5, 0.25, 0.0625, 0.0, 0.0]


def test_a_patch_inside_one_mask_pixel_is_all_or_nothing() -> None:
    mask = np.array([[True, False]])
    coords = np.array([[10, 10], [110, 10], [95, 0]])
    assert patch_fractions(mask, coords, (10, 10), (200, 100)).tolist() == [1.0, 0.0, 0.5]


def test_no_patches_give_no_fractions() -> None:
    mask = np.ones((2, 2), np.bool_)
    assert patch_fractions(mask, np.zeros((0, 2), np.int64), (4, 4), (8, 8)).shape == (0,)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_summed_area_ends_in_the_count(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    assert summed_area(mask)[-1, -1] == mask.sum()
