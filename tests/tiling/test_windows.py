"""Windows over a slide: where they lie, what they cost, and what they weigh."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiling.errors import PlanError
from tiling.grid import Resolution, Window
from tiling.windows import (
    MapFrame,
    WindowGrid,
    frame_over,
    mask_over,
    seam_weights,
    tissue_windows,
)
from wsi.geometry import Mpp


def _covered(grid: WindowGrid, indices: list[int]) -> np.ndarray:
    """How many of the windows lie over each pixel."""
    count = np.zeros((grid.height_px, grid.width_px), int)
    for x, y in grid.corners(np.array(indices, np.int64)).tolist():
        count[y : y + grid.window_px, x : x + grid.window_px] += 1
    return count


GRIDS = st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 24)).flatmap(
    lambda sides: st.integers(0, sides[2] // 2).map(lambda overlap: WindowGrid(*sides, overlap))
)


@settings(deadline=None)  # the machine may be busy
@given(grid=GRIDS)
def test_windows_cover_every_pixel_and_none_is_superfluous(grid: WindowGrid) -> None:
    every = list(range(len(grid)))
    covered = _covered(grid, every)
    assert 1 <= covered.min() <= covered.max() <= 4
    if grid.columns > 1:  # without the last column of windows something would be bare
        kept = [i for i in every if i % grid.columns != grid.columns - 1]
        assert _covered(grid, kept).min() == 0
    if grid.rows > 1:
        kept = [i for i in every if i // grid.columns != grid.rows - 1]
        assert _covered(grid, kept).min() == 0


@settings(deadline=None)  # the machine may be busy
@given(grid=GRIDS)
def test_the_cost_is_the_pixels_that_the_network_sees(grid: WindowGrid) -> None:
    seen = len(grid) * grid.window_px * grid.window_px
    assert grid.cost() == pytest.approx(seen / (grid.height_px * grid.width_px))


def test_far_from_the_edges_the_cost_is_that_of_the_overlap() -> None:
    grid = WindowGrid(100_000, 100_000, 512, 128)
    assert grid.cost() == pytest.approx((512 / 384) ** 2, rel=0.01)
    assert WindowGrid(100_000, 100_000, 512, 0).cost() == pytest.approx(1, rel=0.01)


@settings(deadline=None)  # the machine may be busy
@given(grid=GRIDS, data=st.data())
def test_a_window_is_kept_exactly_if_it_covers_tissue(
    grid: WindowGrid, data: st.DataObject
) -> None:
    spots = data.draw(
        st.lists(
            st.tuples(st.integers(0, grid.height_px - 1), st.integers(0, grid.width_px - 1)),
            max_size=4,
        )
    )
    mask = np.zeros((grid.height_px, grid.width_px), bool)
    for spot in spots:
        mask[spot] = True
    kept = tissue_windows(grid, mask).tolist()
    for i, (x, y) in enumerate(grid.corners(np.arange(len(grid))).tolist()):
        touches = mask[y : y + grid.window_px, x : x + grid.window_px].any()
        assert (i in kept) == touches


def test_a_coarse_mask_is_spread_over_the_map() -> None:
    grid = WindowGrid(100, 200, 20, 0)
    mask = np.array([[False, True], [False, False]])  # the upper right quarter
    rows, columns = np.divmod(tissue_windows(grid, mask), grid.columns)
    # 50 rows are 2.5 windows: the third one touches the quarter
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 2, 5, 9)


def test_the_mask_of_a_slide_is_cut_to_the_map() -> None:
    mask = np.arange(12).reshape(3, 4) % 2 == 0  # of a slide of 400 x 300 px
    whole = MapFrame(75, 100, 0, 0, 4, 4, Mpp(1, 1))
    np.testing.assert_array_equal(mask_over(whole, mask, (400, 300)), mask)
    part = MapFrame(50, 50, 200, 100, 4, 4, Mpp(1, 1))
    np.testing.assert_array_equal(mask_over(part, mask, (400, 300)), mask[1:, 2:])
    beyond = MapFrame(50, 50, 300, 100, 4, 4, Mpp(1, 1))
    expected = [[mask[1, 3], False], [mask[2, 3], False]]
    np.testing.assert_array_equal(mask_over(beyond, mask, (400, 300)), expected)


def test_without_a_mask_every_window_is_kept_and_with_an_empty_one_none() -> None:
    grid = WindowGrid(100, 200, 20, 4)
    assert len(tissue_windows(grid, None)) == len(grid)
    assert len(tissue_windows(grid, np.zeros((3, 5), bool))) == 0


@pytest.mark.parametrize("ramp", ["cosine", "linear"])
@pytest.mark.parametrize("overlap", [1, 2, 7, 128])
def test_weights_of_neighbours_sum_to_one(ramp: str, overlap: int) -> None:
    weights = seam_weights(overlap, ramp)  # type: ignore[arg-type]
    np.testing.assert_allclose(weights + weights[::-1], 1, rtol=1e-6)
    assert (weights > 0).all()
    assert (np.diff(weights) > 0).all()


def test_the_cosine_is_that_of_the_formula() -> None:
    expected = [(1 - np.cos(np.pi * (t + 0.5) / 5)) / 2 for t in range(5)]
    np.testing.assert_allclose(seam_weights(5), expected, rtol=1e-6)
    np.testing.assert_allclose(seam_weights(5, "linear"), [0.1, 0.3, 0.5, 0.7, 0.9], rtol=1e-6)


def test_the_frame_says_where_pixels_lie_on_the_slide() -> None:
    # level 1 has a downsample of 4 and is reduced by 2.5: 10 level-0 px per pixel of the map
    resolution = Resolution(1, 2.5, 2.5, 2.5, Mpp(2.5, 2.5))
    frame = frame_over(Window(8, 4, 101, 50), 4.0, resolution)
    assert (frame.width_px, frame.height_px) == (41, 20)  # 40.4 and exactly 20 pixels
    np.testing.assert_allclose(frame.level0(np.array([[0, 0], [3, 7]])), [[32, 16], [62, 86]])
    assert frame.pixel_mm2 == pytest.approx(6.25e-6)


@pytest.mark.parametrize(
    ("window", "overlap", "sentence"),
    [(0, 0, "need pixels"), (10, 6, "overlap by 0 to 5 px, got 6"), (10, -1, "got -1")],
)
def test_windows_that_make_no_sense_are_refused(window: int, overlap: int, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        WindowGrid(100, 100, window, overlap)


def test_a_map_without_pixels_is_refused() -> None:
    with pytest.raises(PlanError, match="needs pixels, got 0 x 5"):
        MapFrame(0, 5, 0, 0, 1, 1, Mpp(1, 1))
    with pytest.raises(PlanError, match="must have an extent"):
        MapFrame(5, 5, 0, 0, 0, 1, Mpp(1, 1))
