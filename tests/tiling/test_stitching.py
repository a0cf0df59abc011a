"""Windows put together: what comes out is what one run over the whole picture would give."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.tiling.networks import REACH_PX, Floats, Pixels, counted, network, window_of
from tiling.errors import PlanError
from tiling.stitching import Cell, Layout, Stitcher
from tiling.windows import Mask, Ramp, WindowGrid, seam_weights


@pytest.fixture(scope="module")
def tissue(cmu_slide: Path) -> Pixels:
    """Odd-sized piece of the bundled slide: tissue and glass."""
    whole = np.asarray(tifffile.imread(cmu_slide, key=0))
    return np.ascontiguousarray(whole[400:931, 700:1437])


def _stitch(layout: Layout, predictions: dict[int, np.ndarray]) -> Floats:
    """The whole map (C, h, w) from cells."""
    grid = layout.grid
    whole = np.full((layout.classes, grid.height_px, grid.width_px), np.nan, np.float32)

    def put(cell: Cell) -> None:
        at = cell.row * grid.stride_px, cell.column * grid.stride_px
        box = tuple(slice(a, a + grid.stride_px) for a in at)
        assert np.isnan(whole[:, *box]).all()  # nobody was here
        whole[:, *box] = 0 if cell.probabilities is None else cell.probabilities

    stitcher = Stitcher(layout, put)
    for window, values in predictions.items():
        stitcher.add(window, values)
    stitcher.finish()
    return whole


def _slow(layout: Layout, predictions: dict[int, np.ndarray]) -> np.ndarray:
    """Twin: sums of weighted windows over the sum of weights, on the whole canvas, in float64."""
    grid = layout.grid
    rising = np.ones(grid.window_px)
    rising[: grid.overlap_px] = seam_weights(grid.overlap_px, layout.ramp)
    profile = rising * rising[::-1]
    weights = np.outer(profile, profile)
    shape = grid.height_px + grid.window_px, grid.width_px + grid.window_px
    sums, total = np.zeros((layout.classes, *shape)), np.zeros(shape)
    for window, values in predictions.items():
        ((x, y),) = grid.corners(np.array([window]))
        box = slice(y, y + grid.window_px), slice(x, x + grid.window_px)
        sums[:, *box] += weights * values
        total[box] += weights
    mean = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    mean = mean[:, : grid.height_px, : grid.width_px]
    if layout.mask is not None:
        mean *= layout.mask
    return mean


def _random(layout: Layout, windows: list[int]) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(7)
    side = layout.grid.window_px
    return {
        i: rng.dirichlet(np.ones(layout.classes), (side, side)).transpose(2, 0, 1).astype("f4")
        for i in windows
    }


def _spots(height: int, width: int) -> Mask:
    mask = np.zeros((height, width), bool)
    mask[3:9, 5:8] = mask[height - 2, width - 1] = mask[height // 2, width // 2] = True
    return mask


CASES = {
    "one window": (WindowGrid(7, 9, 16, 8), False, "cosine"),
    "exact": (WindowGrid(44, 28, 16, 2), False, "cosine"),
    "odd": (WindowGrid(53, 61, 16, 7), False, "linear"),
    "half": (WindowGrid(50, 41, 16, 8), False, "cosine"),
    "no overlap": (WindowGrid(33, 50, 16, 0), False, "cosine"),
    "one row": (WindowGrid(5, 90, 16, 5), False, "cosine"),
    "tissue": (WindowGrid(83, 91, 16, 7), True, "cosine"),
    "one pixel": (WindowGrid(1, 1, 16, 4), False, "cosine"),
}


@pytest.mark.parametrize("case", CASES)
def test_cells_are_the_weighted_mean_of_their_windows(case: str) -> None:
    grid, masked, ramp = CASES[case]
    mask = _spots(grid.height_px, grid.width_px) if masked else None
    layout = Layout(grid, 3, mask, ramp)  # type: ignore[arg-type]
    predictions = _random(layout, Stitcher(layout, lambda _: None).todo)
    np.testing.assert_allclose(
        _stitch(layout, predictions), _slow(layout, predictions), atol=2e-5
    )  # of numbers of 16 bits


def test_whatever_the_order_of_the_windows_the_values_are_the_same() -> None:
    layout = Layout(WindowGrid(83, 91, 16, 7), 3, _spots(83, 91))
    predictions = _random(layout, Stitcher(layout, lambda _: None).todo)
    shuffled = np.random.default_rng(3).permutation(list(predictions)).tolist()
    np.testing.assert_array_equal(
        _stitch(layout, predictions), _stitch(layout, {i: predictions[i] for i in shuffled})
    )


def _predict(pixels: Pixels, layout: Layout) -> dict[int, np.ndarray]:
    todo = Stitcher(layout, lambda _: None).todo
    return {i: network(window_of(pixels, layout.grid, i)) for i in todo}


@pytest.mark.parametrize("ramp", ["cosine", "linear"])
def test_the_map_is_that_of_one_run_over_the_whole_picture(tissue: Pixels, ramp: Ramp) -> None:
    height, width = tissue.shape[:2]
    layout = Layout(WindowGrid(height, width, 128, 48), 3, ramp=ramp)
    stitched = _stitch(layout, _predict(tissue, layout)).argmax(axis=0)
    inside = slice(REACH_PX, -REACH_PX), slice(REACH_PX, -REACH_PX)  # away from borders
    whole = network(tissue).argmax(axis=0)
    assert set(np.unique(whole)) == {0, 1, 2}
    assert (stitched != whole)[inside].mean() < 0.01


def test_without_overlap_seams_are_visible(tissue: Pixels) -> None:
    height, width = tissue.shape[:2]
    errors = []
    for overlap in (0, 48):
        layout = Layout(WindowGrid(height, width, 128, overlap), 3)
        stitched = _stitch(layout, _predict(tissue, layout))
        inside = slice(None), slice(REACH_PX, -REACH_PX), slice(REACH_PX, -REACH_PX)
        errors.append(np.abs(stitched - network(tissue))[inside].mean())
    assert errors[1] < errors[0] / 4


def test_the_network_sees_what_the_geometry_says_and_no_more(tissue: Pixels) -> None:
    height, width = tissue.shape[:2]
    layout = Layout(WindowGrid(height, width, 128, 32), 3)
    seen: list[int] = []
    call = counted(network, seen)
    stitcher = Stitcher(layout, lambda _: None)
    for i in stitcher.todo:
        stitcher.add(i, call(window_of(tissue, layout.grid, i)))
    stitcher.finish()
    assert sum(seen) == pytest.approx(layout.grid.cost() * height * width)
    assert len(seen) == 6 * 8  # ceil((531 - 32) / 96) rows of ceil((737 - 32) / 96)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_whole_numbers_the_largest_is_one(dtype: type) -> None:
    layout = Layout(WindowGrid(20, 20, 16, 4), 2)
    full = np.zeros((2, 16, 16), dtype)
    full[0] = np.iinfo(dtype).max
    stitched = _stitch(layout, dict.fromkeys(range(4), full))
    np.testing.assert_allclose(stitched[0], 1, atol=1e-6)
    assert not stitched[1].any()


def test_memory_holds_one_row_of_lower_margins() -> None:
    layout = Layout(WindowGrid(400, 400, 40, 8), 2)
    stitcher = Stitcher(layout, lambda _: None)
    values = np.full((2, 40, 40), 0.5)
    most = 0
    for i in stitcher.todo:
        stitcher.add(i, values)
        most = max(most, sum(held.nbytes for _, held in stitcher._held.values()))
    margins = 2 * 8 * 40 * 2 * (layout.grid.columns + 1)
    assert most <= margins * 2 + 2 * 2 * 2 * 40 * 40


@pytest.mark.parametrize(
    ("window", "values", "sentence"),
    [
        (99, np.zeros((2, 8, 8), np.float32), "window 99 was given before, or is not one"),
        (0, np.zeros((3, 8, 8), np.float32), r"shape \(3, 8, 8\), not \(2, 8, 8\)"),
        (0, np.zeros((2, 8, 8), np.int64), "floats, uint8 or uint16, got int64"),
        (0, np.full((2, 8, 8), 1.5), "from 0 to 1, window 0: 1.5 to 1.5"),
        (0, np.full((2, 8, 8), np.nan), "from 0 to 1, window 0: nan"),
        (0, np.full((2, 8, 8), -0.1), "from 0 to 1"),
    ],
)
def test_windows_that_make_no_sense_are_refused(
    window: int, values: np.ndarray, sentence: str
) -> None:
    stitcher = Stitcher(Layout(WindowGrid(20, 20, 8, 2), 2), lambda _: None)
    with pytest.raises(PlanError, match=sentence):
        stitcher.add(window, values)


def test_a_window_counts_once_and_none_may_be_missing() -> None:
    stitcher = Stitcher(Layout(WindowGrid(20, 20, 8, 2), 2), lambda _: None)
    stitcher.add(4, np.zeros((2, 8, 8), np.float32))
    with pytest.raises(PlanError, match="window 4 was given before"):
        stitcher.add(4, np.zeros((2, 8, 8), np.float32))
    with pytest.raises(PlanError, match="8 windows of the map are missing, the first is 0"):
        stitcher.finish()
