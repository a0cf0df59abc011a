"""Level choice and grid against tables and double loops."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiling.errors import PlanError
from tiling.grid import Grid, Resolution, Window, choose_resolution, lay_grid
from wsi import Level, Mpp, Size


def pyramid(*downsamples: float) -> list[Level]:
    return [Level(i, Size(1000, 1000), down) for i, down in enumerate(downsamples)]


@pytest.mark.parametrize(
    ("mpp", "requested", "level", "reduction", "effective"),
    [
        pytest.param((0.25, 0.25), None, 0, (1, 1), (0.25, 0.25), id="native"),
        pytest.param((0.25, 0.25), 0.25, 0, (1, 1), (0.25, 0.25), id="exact-finest"),
        pytest.param((0.25, 0.25), 1.0, 1, (1, 1), (1, 1), id="exact-level-1"),
        pytest.param((0.25, 0.25), 0.2525, 0, (1, 1), (0.25, 0.25), id="within-tolerance-above"),
        pytest.param((0.25, 0.25), 0.2430, 0, (1, 1), (0.25, 0.25), id="within-tolerance-below"),
        pytest.param((0.25, 0.25), 3.9, 2, (1, 1), (4, 4), id="coarser-level-within-tolerance"),
        pytest.param((0.25, 0.25), 0.5, 0, (2, 2), (0.5, 0.5), id="half"),
        pytest.param((0.25, 0.25), 2.0, 1, (2, 2), (2, 2), id="coarsest-finer-level-is-reduced"),
        pytest.param((0.25, 0.25), 0.51, 0, (2, 2), (0.5, 0.5), id="snap-to-whole-reduction"),
        pytest.param((0.25, 0.25), 0.52, 0, (2.08, 2.08), (0.52, 0.52), id="beyond-snap"),
        pytest.param((0.25, 0.25), 4.4, 2, (1.1, 1.1), (4.4, 4.4), id="coarser-than-all-levels"),
        pytest.param((0.2325,) * 2, 0.5, 0, (2.150538,) * 2, (0.5, 0.5), id="fractional"),
        pytest.param((0.25, 0.255), 0.5, 0, (2, 2), (0.5, 0.51), id="x-y-both-snap"),
        pytest.param((0.25, 0.3), 0.5, 0, (2, 1.666667), (0.5, 0.5), id="x-y-differ"),
        pytest.param((0.25, 0.257), 0.25, 0, (1, 1), (0.25, 0.257), id="x-y-within-tolerance"),
    ],
)
def test_level_and_reduction(
    mpp: tuple[float, float],
    requested: float | None,
    level: int,
    reduction: tuple[float, float],
    effective: tuple[float, float],
) -> None:
    found = choose_resolution(pyramid(1, 4, 16), Mpp(*mpp), requested, 0.03)
    assert found.level == level
    assert (found.reduction_x, found.reduction_y) == pytest.approx(reduction)
    assert (found.effective.x, found.effective.y) == pytest.approx(effective)
    assert found.requested == requested
    assert found.unscaled == (reduction == (1, 1))


def test_of_two_levels_within_tolerance_the_nearer_is_taken() -> None:
    found = choose_resolution(pyramid(1, 1.02, 1.04), Mpp(1, 1), 1.025, 0.03)
    assert found.level == 1


def test_without_tolerance_only_equality_is_exact() -> None:
    assert choose_resolution(pyramid(1, 2), Mpp(0.25, 0.25), 0.5, 0).level == 1
    assert choose_resolution(pyramid(1, 2), Mpp(0.25, 0.25), 0.501, 0).reduction_x == 1.002


@pytest.mark.parametrize(
    ("mpp", "requested"),
    [
        pytest.param((0.25, 0.25), 0.24, id="finer-than-the-slide"),
        pytest.param((0.25, 0.6), 0.5, id="one-axis-too-coarse"),
    ],
)
def test_enlarging_is_refused(mpp: tuple[float, float], requested: float) -> None:
    with pytest.raises(PlanError, match=rf"asked for {requested} .* enlarging is refused"):
        choose_resolution(pyramid(1, 4), Mpp(*mpp), requested, 0.03)


def slow_corners(
    window: Window, extent: Fraction, step: Fraction, *, pad: bool
) -> list[list[Fraction]]:
    """Corners row by row, x first, in exact arithmetic: one step after the other while it fits."""

    def line(start: float, length: float) -> list[Fraction]:
        end = Fraction(start) + Fraction(length)
        found, at = [], Fraction(start)
        while at < end if pad else at + extent <= end:
            found.append(at)
            at += step
        return found

    return [[x, y] for y in line(window.y, window.height) for x in line(window.x, window.width)]


whole_or_half = st.integers(0, 1200).map(lambda n: n / 2)


@given(
    x=whole_or_half,
    y=whole_or_half,
    width=whole_or_half,
    height=whole_or_half,
    quarters=st.integers(4, 13),
    patch=st.integers(1, 300),
    stride=st.integers(20, 300),
    pad=st.booleans(),
)
def test_grid_equals_a_double_loop(
    *,
    x: float,
    y: float,
    width: float,
    height: float,
    quarters: int,
    patch: int,
    stride: int,
    pad: bool,
) -> None:
    window = Window(x, y, width, height)
    resolution = Resolution(0, quarters / 4, quarters / 4, None, Mpp(1, 1))
    grid = lay_grid(
        window, 4.0, resolution, patch=Size(patch, patch), stride=Size(stride, stride), pad=pad
    )
    reduction = Fraction(quarters, 4)
    expected = slow_corners(window, patch * reduction, stride * reduction, pad=pad)
    assert len(grid) == len(expected)
    origins = grid.origins(np.arange(len(grid)))
    np.testing.assert_array_equal(origins, np.array(expected, float).reshape(-1, 2))
    rounded = [[round(4 * x), round(4 * y)] for x, y in expected]
    np.testing.assert_array_equal(
        grid.level0(np.arange(len(grid))), np.array(rounded, np.int32).reshape(-1, 2)
    )
    assert grid.footprint_level0 == (4 * patch * reduction, 4 * patch * reduction)


def test_fractional_footprint_of_0_2325_to_0_5() -> None:
    mpp = Mpp(0.2325, 0.2325)
    resolution = choose_resolution(pyramid(1), mpp, 0.5, 0.03)
    side = Size(256, 256)
    grid = lay_grid(Window(0, 0, 10 * 256 / 0.465, 1200), 1.0, resolution, patch=side, stride=side)
    # ten patches of 550.5376 px are exactly as wide as the window: none is lost to a last bit
    assert (grid.columns, grid.rows) == (10, 2)
    assert grid.footprint_level0 == pytest.approx((550.537634, 550.537634))
    np.testing.assert_array_equal(
        grid.level0(np.array([1, 2, 11])), [[551, 0], [1101, 0], [551, 551]]
    )


def test_x_and_y_have_their_own_steps() -> None:
    resolution = choose_resolution(pyramid(1), Mpp(0.25, 0.3), 0.6, 0.03)
    grid = lay_grid(
        Window(0, 0, 1000, 1000), 1.0, resolution, patch=Size(100, 100), stride=Size(50, 50)
    )
    assert (grid.extent_x, grid.extent_y) == pytest.approx((240, 200))
    assert (grid.step_x, grid.step_y) == pytest.approx((120, 100))
    assert (grid.columns, grid.rows) == (7, 9)


@given(
    origin=st.tuples(st.floats(0, 5000), st.floats(0, 5000)),
    step=st.tuples(st.floats(1, 3000), st.floats(1, 3000)),
    columns=st.integers(1, 300),
    rows=st.integers(1, 300),
    downsample=st.floats(1.01, 64),
    seed=st.integers(0, 2**32),
)
def test_nearest_inverts_level0(
    origin: tuple[float, float],
    step: tuple[float, float],
    columns: int,
    rows: int,
    downsample: float,
    seed: int,
) -> None:
    grid = Grid(*origin, *step, 256.0, 256.0, columns, rows, downsample)
    indices = np.random.default_rng(seed).integers(0, len(grid), 50)
    np.testing.assert_array_equal(grid.nearest(grid.level0(indices)), indices)


def test_an_empty_grid_has_no_corners() -> None:
    grid = Grid(0, 0, 10, 10, 10, 10, 0, 0, 1.0)
    none = np.zeros(0, np.int64)
    assert len(grid) == 0
    assert grid.origins(none).shape == (0, 2)
    assert grid.level0(none).dtype == np.int32
