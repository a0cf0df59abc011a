"""Overlapping windows over a slide at a model's resolution, and weights that hide their seams.

Pure arithmetic: no pixel is read here. A map has one pixel per pixel of the model; its frame says
where they lie on the slide. Windows are `(row, column)` of a regular grid, row-major.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tiling.coverage import summed_area
from tiling.errors import PlanError
from tiling.grid import Resolution, Window
from wsi.geometry import Mpp

Ramp = Literal["cosine", "linear"]
Mask = NDArray[np.bool_]

ROUNDING_PX = 1e-6
"""What a length in pixels may be off by for the rounding of floats."""


@dataclass(frozen=True, slots=True)
class MapFrame:
    """Where the pixels of a map lie on its slide.

    Attributes:
        height_px, width_px: of the map.
        level0_x, level0_y: top-left corner of the first pixel, in level-0 pixels.
        level0_step_x, level0_step_y: side of a pixel of the map, in level-0 pixels.
        mpp: microns per pixel of the map.

    Raises:
        PlanError: the map is empty, or its pixels are.
    """

    height_px: int
    width_px: int
    level0_x: float
    level0_y: float
    level0_step_x: float
    level0_step_y: float
    mpp: Mpp

    def __post_init__(self) -> None:
        """Refuse maps without pixels."""
        if min(self.height_px, self.width_px) < 1:
            raise PlanError(f"a map needs pixels, got {self.height_px} x {self.width_px}")
        if not min(self.level0_step_x, self.level0_step_y) > 0:
            raise PlanError(f"pixels of a map must have an extent, got {self}")

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel in square millimetres."""
        return self.mpp.x * self.mpp.y / 1e6

    def level0(self, corners: NDArray[np.integer]) -> NDArray[np.float64]:
        """Give corners `(n, 2)`, x, y in pixels of the map, in level-0 pixels."""
        step = np.array([self.level0_step_x, self.level0_step_y])
        places: NDArray[np.float64] = corners * step + (self.level0_x, self.level0_y)
        return places


def frame_over(window: Window, downsample: float, resolution: Resolution) -> MapFrame:
    """Lay a map over a part of a level, so that every pixel of it is covered.

    Args:
        window: the part, in pixels of the level.
        downsample: level-0 pixels per pixel of the level.
        resolution: how the level becomes pixels of the model.
    """
    step_x, step_y = resolution.reduction_x, resolution.reduction_y
    return MapFrame(
        height_px=int(np.ceil(window.height / step_y - ROUNDING_PX)),
        width_px=int(np.ceil(window.width / step_x - ROUNDING_PX)),
        level0_x=window.x * downsample,
        level0_y=window.y * downsample,
        level0_step_x=step_x * downsample,
        level0_step_y=step_y * downsample,
        mpp=resolution.effective,
    )


def mask_over(frame: MapFrame, mask: Mask, slide_px: tuple[int, int]) -> Mask:
    """Cut a map's part out of a mask of the whole slide, `(h', w')`, as fine as the mask is.

    Args:
        frame: of the map.
        mask: tissue over the whole slide, on any grid.
        slide_px: width and height of level 0. What lies outside is no tissue.
    """
    height = frame.height_px * frame.level0_step_y
    width = frame.width_px * frame.level0_step_x
    rows = _centres(frame.level0_y, height, slide_px[1], mask.shape[0])
    columns = _centres(frame.level0_x, width, slide_px[0], mask.shape[1])
    padded = np.pad(mask, ((0, 1), (0, 1)))  # the last ones stand for all that is outside
    return padded[np.ix_(rows, columns)]


def _centres(start: float, length: float, slide_px: int, cells: int) -> NDArray[np.int64]:
    """Give the mask's pixels under a part of an axis; `cells` where that is outside the slide."""
    count = max(1, round(length * cells / slide_px))
    centres = start + (np.arange(count) + 0.5) * length / count
    found = np.floor(centres * cells / slide_px).astype(np.int64)
    return np.where((found < 0) | (found >= cells), cells, found)


@dataclass(frozen=True)
class WindowGrid:
    """Windows of equal size, a stride apart; the last ones may hang over the map's edges.

    The map is cut into square cells of one stride. A window covers its own cell and a margin of
    `overlap_px` below and to the right; where that reaches the edge, no further window is needed.

    Attributes:
        height_px, width_px: of the map.
        window_px: side of a window, that of the model's input.
        overlap_px: pixels that neighbours share; at most half of a window, so that no pixel lies
            in more than four of them.

    Raises:
        PlanError: the window is empty, or the overlap does not fit it.
    """

    height_px: int
    width_px: int
    window_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        """Check that windows and overlap fit each other."""
        if min(self.height_px, self.width_px, self.window_px) < 1:
            raise PlanError(f"a map and its windows need pixels, got {self}")
        if not 0 <= 2 * self.overlap_px <= self.window_px:
            raise PlanError(
                f"windows of {self.window_px} px may overlap by 0 to {self.window_px // 2} px, "
                f"got {self.overlap_px}"
            )

    @property
    def stride_px(self) -> int:
        """Distance between windows, and side of a cell."""
        return self.window_px - self.overlap_px

    @cached_property
    def rows(self) -> int:
        """Windows from top to bottom."""
        return self._count(self.height_px)

    @cached_property
    def columns(self) -> int:
        """Windows from left to right."""
        return self._count(self.width_px)

    def _count(self, length: int) -> int:
        return max(1, -(-(length - self.overlap_px) // self.stride_px))

    def __len__(self) -> int:
        """Number of windows, with tissue or without."""
        return self.rows * self.columns

    @property
    def cell_rows(self) -> int:
        """Cells from top to bottom: as many as windows, or one more."""
        return -(-self.height_px // self.stride_px)

    @property
    def cell_columns(self) -> int:
        """Cells from left to right."""
        return -(-self.width_px // self.stride_px)

    def corners(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Top-left corners `(n, 2)` as x, y in pixels of the map, for row-major `indices`."""
        rows, columns = np.divmod(indices, self.columns)
        return np.stack([columns, rows], axis=1) * self.stride_px

    def cost(self, windows: int | None = None) -> float:
        """Pixels that the network sees per pixel of the map; of all windows, or of so many.

        Far from the edges this is `(window / stride)²`.
        """
        count = len(self) if windows is None else windows
        return count * self.window_px**2 / (self.height_px * self.width_px)


def tissue_windows(grid: WindowGrid, mask: Mask | None) -> NDArray[np.int64]:
    """Give the windows `(n,)` that touch tissue, ascending; all of them without a mask.

    Every pixel of tissue lies in all windows that could cover it, so that its seams are hidden.

    Args:
        grid: the windows.
        mask: tissue over the whole map, on any grid, `(h', w')`.
    """
    every = np.arange(len(grid), dtype=np.int64)
    if mask is None:
        return every
    x, y = grid.corners(every).T
    top, bottom = _span(y, grid.window_px, grid.height_px, mask.shape[0])
    left, right = _span(x, grid.window_px, grid.width_px, mask.shape[1])
    table = summed_area(mask)
    inside = table[bottom, right] - table[bottom, left] - table[top, right] + table[top, left]
    return every[inside > 0]


def _span(
    start: NDArray[np.int64], window_px: int, length_px: int, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one past the last of the mask's pixels that windows on one axis sample."""
    last = np.minimum(start + window_px, length_px) - 1
    return sample(start, length_px, cells), sample(last, length_px, cells) + 1


def sample(at: NDArray[np.int64], length_px: int, cells: int) -> NDArray[np.int64]:
    """Give the index in `cells` equal parts of the map's axis under the centre of pixels `at`."""
    return np.minimum((2 * at + 1) * cells // (2 * length_px), cells - 1)


def seam_weights(overlap_px: int, ramp: Ramp = "cosine") -> NDArray[np.float32]:
    """Weights `(overlap_px,)` that a window rises by from its edge; its neighbour falls as they do.

    Taken from the other end they are what the neighbour has there, and both sum to 1. None is 0, so
    that a pixel that lies in one window only keeps that window's values. `cosine` (the square of a
    sine) has no kink at either end; `linear` is the plain ramp.
    """
    share = (np.arange(overlap_px) + 0.5) / max(overlap_px, 1)
    weights = share if ramp == "linear" else np.sin(np.pi / 2 * share) ** 2
    return weights.astype(np.float32)
