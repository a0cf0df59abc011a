"""Area means: of whole blocks, and of an image that arrives band by band with fractional edges."""

import numpy as np
import numpy.typing as npt

from wsi.color import Pixels

Floats = npt.NDArray[np.float32]

# Rows per step: bounds what is held as floats to a few MB for any real width.
STEP_ROWS = 64


def block_mean(pixels: Pixels, factor: int | tuple[int, int]) -> Pixels:
    """Means of blocks of `factor` (x, y) pixels, u1 (h, w, 3); partial blocks at edges count.

    Pillow rounds, by at most 2/3 of a grey level.
    """
    from PIL import Image

    return pixels if factor == 1 else np.asarray(Image.fromarray(pixels).reduce(factor))


class AreaMean:
    """Averages rows that are added from top to bottom into u1 (height, width, 3).

    Args:
        extent: (width, height) of the input in input pixels; fractional where the last input
            pixel counts only in part.
        shape: (height, width) of the output, at most the extent.
    """

    def __init__(self, extent: tuple[float, float], shape: tuple[int, int]) -> None:
        self._column_edges = np.linspace(0, extent[0], shape[1] + 1)
        self._row_edges = np.linspace(0, extent[1], shape[0] + 1)
        self._sums: Floats | None = None
        self._row = 0

    def add(self, rows: Pixels) -> None:
        """The next rows, u1 (k, w, 3)."""
        if self._sums is None:
            height = len(self._row_edges) - 1
            self._sums = np.zeros((height, rows.shape[1] * 3), np.float32)
        for start in range(0, len(rows), STEP_ROWS):
            step = rows[start : start + STEP_ROWS]
            self._add_step(step.reshape(len(step), -1).astype(np.float32), self._sums)

    def _add_step(self, rows: Floats, sums: Floats) -> None:
        edges = self._row_edges
        top, bottom = self._row, self._row + len(rows)
        self._row = bottom
        first = max(int(np.searchsorted(edges, top, side="right")) - 1, 0)
        last = min(int(np.searchsorted(edges, bottom, side="left")), len(edges) - 1)
        if first >= last:
            return
        lines = np.arange(top, bottom)
        upper = np.maximum(edges[first:last, None], lines)
        lower = np.minimum(edges[first + 1 : last + 1, None], lines + 1)
        weights = np.clip(lower - upper, 0, None).astype(np.float32)  # (outputs, rows)
        sums[first:last] += weights @ rows

    def result(self) -> Pixels:
        """The means of what was added, rounded: u1 (height, width, 3)."""
        height, width = len(self._row_edges) - 1, len(self._column_edges) - 1
        found = np.zeros((height, width, 3), np.uint8)
        if self._sums is None:
            return found
        self._sums /= np.float32(self._row_edges[1] - self._row_edges[0])
        for start in range(0, height, STEP_ROWS):
            rows = self._sums[start : start + STEP_ROWS].reshape(-1, self._sums.shape[1] // 3, 3)
            means = _mean_columns(rows, self._column_edges)
            found[start : start + STEP_ROWS] = np.clip(np.rint(means, out=means), 0, 255)
        return found


def _mean_columns(rows: Floats, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means between consecutive column edges: f4 (k, w, 3) -> f8 (k, len(edges) - 1, 3)."""
    width = rows.shape[1]
    sums = np.zeros((rows.shape[0], width + 1, 3))
    np.cumsum(rows, axis=1, dtype=np.float64, out=sums[:, 1:])
    whole = np.minimum(edges.astype(np.int64), width)
    part = (edges - whole)[:, None]
    at_edges = sums[:, whole] + part * rows[:, np.minimum(whole, width - 1)]
    means: npt.NDArray[np.float64] = np.diff(at_edges, axis=1) / (edges[1] - edges[0])
    return means
