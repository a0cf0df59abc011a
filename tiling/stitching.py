"""Windows that overlap become cells that do not: the weighted mean where several cover a pixel.

Cells come out row-major, whatever the order of the windows, and each is computed from its windows
in one fixed order, so that the same predictions give the same bytes. Held in memory are the lower
margins of one row of windows, and those that came too early.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiling.errors import PlanError
from tiling.windows import Mask, Ramp, WindowGrid, sample, seam_weights, tissue_windows

Floats = NDArray[np.float32]

ROUNDING = 2e-3
"""What a probability may exceed 1 by: a softmax in half precision does."""

Whole = NDArray[np.uint8] | NDArray[np.uint16]
"""Probabilities as whole numbers, of which the largest is 1."""


@dataclass(frozen=True)
class Cell:
    """One cell of a map.

    Attributes:
        row, column: of the cell.
        probabilities: `(C, n, m)`, 0 to 1; 0 where there is no tissue, or no window. None where all
            of it is 0.
    """

    row: int
    column: int
    probabilities: Floats | None


@dataclass(frozen=True)
class Layout:
    """What is stitched.

    Attributes:
        grid: the windows.
        classes: number of classes C.
        mask: tissue over the whole map, on any grid; None takes everything for tissue.
        ramp: how a window gives way to the next one.
    """

    grid: WindowGrid
    classes: int
    mask: Mask | None = None
    ramp: Ramp = "cosine"


class Stitcher:
    """Puts windows together.

    Args:
        layout: what is stitched.
        emit: takes each cell as soon as all its windows are there.
        first_row: row of cells to begin with, for a map whose rows above are done.
    """

    def __init__(self, layout: Layout, emit: Callable[[Cell], None], *, first_row: int = 0) -> None:
        self._layout, self._grid, self._emit = layout, layout.grid, emit
        self._first_row = first_row
        self._weights = seam_weights(layout.grid.overlap_px, layout.ramp)
        kept = tissue_windows(layout.grid, layout.mask)
        first = max(0, first_row - 1) * layout.grid.columns
        self._todo: list[int] = kept[kept >= first].tolist()
        self._wanted = set(self._todo)
        self._done = 0
        self._early: dict[int, Whole] = {}
        self._held: dict[int, tuple[int, Whole]] = {}
        self._next_cell = first_row * layout.grid.cell_columns

    @property
    def todo(self) -> list[int]:
        """Windows that are still wanted, ascending; best given in this order."""
        return sorted(self._wanted)

    def add(self, window: int, probabilities: NDArray[np.generic]) -> None:
        """Take a window's probabilities; emits the cells that are ready by that.

        Args:
            window: its index in the grid.
            probabilities: `(C, P, P)`; uint8 or uint16 whose largest number stands for 1, or
                floats from 0 to 1, which become uint16. uint8 takes half the memory, and its
                classes tie more often.

        Raises:
            PlanError: it is not wanted, or the array is not as said.
        """
        if window not in self._wanted:
            raise PlanError(f"window {window} was given before, or is not one of this map's")
        self._early[window] = _checked(probabilities, self._shape, window)
        self._wanted.remove(window)
        while self._done < len(self._todo) and self._todo[self._done] in self._early:
            self._hold(self._todo[self._done])
            self._done += 1
            self._emit_ready()

    def finish(self) -> None:
        """Emit the cells that are left.

        Raises:
            PlanError: windows are missing.
        """
        if self._wanted:
            count, first = len(self._wanted), min(self._wanted)
            raise PlanError(f"{count} windows of the map are missing, the first is {first}")
        self._emit_ready()

    def _hold(self, window: int) -> None:
        self._held[window] = (0, self._early.pop(window))
        if window // self._grid.columns < self._first_row:
            self._trim(window)

    def _trim(self, window: int) -> None:
        """Keep of a window what lies below its own row of cells."""
        below = self._grid.stride_px
        self._held[window] = (below, self._held[window][1][:, below:].copy())

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self._layout.classes, self._grid.window_px, self._grid.window_px

    def _emit_ready(self) -> None:
        """Emit cells up to the first that waits for a window."""
        grid = self._grid
        awaited = self._todo[self._done] if self._done < len(self._todo) else len(grid)
        while self._next_cell < grid.cell_rows * grid.cell_columns:
            row, column = divmod(self._next_cell, grid.cell_columns)
            last = min(row, grid.rows - 1) * grid.columns + min(column, grid.columns - 1)
            if last >= awaited:
                return
            self._emit(Cell(row, column, self._blend(row, column)))
            self._next_cell += 1
            self._forget(row, column)

    def _forget(self, row: int, column: int) -> None:
        """Drop what no later cell needs: of this row the upper parts, of the one above all."""
        grid = self._grid
        if column == grid.cell_columns - 1:
            above = [i for i in self._held if i // grid.columns < row]
            for window in above:
                del self._held[window]
        for behind in range(column - 1, column + (column == grid.cell_columns - 1)):
            window = row * grid.columns + behind
            if 0 <= behind < grid.columns and window in self._held:
                self._trim(window)

    def _blend(self, row: int, column: int) -> Floats | None:
        """Average the up to four windows over a cell, `(C, n, m)`; None without any.

        Always in the same order: own, above left, above, left.
        """
        grid, overlap = self._grid, self._grid.overlap_px
        shape = (
            min(grid.stride_px, grid.height_px - row * grid.stride_px),
            min(grid.stride_px, grid.width_px - column * grid.stride_px),
        )
        places = [(row - i, column - j) for i, j in ((0, 0), (1, 1), (1, 0), (0, 1))]
        found = [place for place in places if self._index(place) in self._held]
        if not found:
            return None
        sums = np.zeros((self._layout.classes, *shape), np.float32)
        total = np.zeros(shape, np.float32)
        for place in found:
            above, left = place[0] < row, place[1] < column
            down = self._axis_weights(shape[0], falling=above)
            across = self._axis_weights(shape[1], falling=left)
            box = slice(len(down)), slice(len(across))
            values, full = self._part(place, (row, column), (len(down), len(across)))
            total[box] += down[:, None] * across
            if above or left:
                sums[:, *box] += (down[:, None] * (across / full)) * values
            else:  # most of a cell lies in its own window only
                np.multiply(values, np.float32(1 / full), out=sums)
                sums[:, :overlap] *= down[:overlap, None]
                sums[:, :, :overlap] *= across[:overlap]
        known = (total > 0) & self._tissue(row, column, shape)
        sums *= np.divide(1, total, out=np.zeros_like(total), where=known)
        return sums

    def _index(self, place: tuple[int, int]) -> int:
        """Index of the window at a row and column of the grid, -1 outside."""
        row, column = place
        inside = 0 <= row < self._grid.rows and 0 <= column < self._grid.columns
        return row * self._grid.columns + column if inside else -1

    def _part(
        self, place: tuple[int, int], cell: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[Whole, np.float32]:
        """What a window has of the upper left part of a cell, and what stands for 1 there."""
        skipped, values = self._held[self._index(place)]
        top = (cell[0] - place[0]) * self._grid.stride_px - skipped
        left = (cell[1] - place[1]) * self._grid.stride_px
        part = values[:, top : top + shape[0], left : left + shape[1]]
        return part, np.float32(np.iinfo(values.dtype).max)

    def _axis_weights(self, length: int, *, falling: bool) -> Floats:
        """Weights along one axis of a cell: of the window before it, or of its own."""
        if falling:
            return self._weights[::-1][:length]
        weights = np.ones(length, np.float32)
        rising = self._weights[:length]
        weights[: len(rising)] = rising
        return weights

    def _tissue(self, row: int, column: int, shape: tuple[int, ...]) -> Mask:
        mask, grid = self._layout.mask, self._grid
        if mask is None:
            return np.ones(shape, np.bool_)
        y = row * grid.stride_px + np.arange(shape[0])
        x = column * grid.stride_px + np.arange(shape[1])
        rows = sample(y, grid.height_px, mask.shape[0])
        columns = sample(x, grid.width_px, mask.shape[1])
        return mask[np.ix_(rows, columns)]


def _checked(probabilities: NDArray[np.generic], shape: tuple[int, ...], window: int) -> Whole:
    """Give probabilities as whole numbers."""
    if probabilities.shape != shape:
        raise PlanError(f"window {window} has the shape {probabilities.shape}, not {shape}")
    if probabilities.dtype == np.uint8:
        return probabilities.astype(np.uint8, copy=False)
    if probabilities.dtype == np.uint16:
        return probabilities.astype(np.uint16, copy=False)
    if not np.issubdtype(probabilities.dtype, np.floating):
        raise PlanError(f"probabilities must be floats, uint8 or uint16, got {probabilities.dtype}")
    floats = probabilities.astype(np.float32)  # a half-precision minimum is slow
    low, high = float(floats.min()), float(floats.max())
    if not (low >= 0 and high <= 1 + ROUNDING):  # so that NaN is refused, too
        raise PlanError(f"probabilities must be from 0 to 1, window {window}: {low:g} to {high:g}")
    floats *= np.iinfo(np.uint16).max
    np.rint(floats, out=floats)
    return np.minimum(floats, np.iinfo(np.uint16).max, out=floats).astype(np.uint16)
