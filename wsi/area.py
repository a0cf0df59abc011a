"""Area means: of whole blocks, and of an image that arrives band by band with fractional edges."""

import numpy as np
import numpy.typing as npt

from wsi.color import Pixels

# Rows per step: bounds the cumulative sums to a few MB for any real width.
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
        self._sums = np.zeros((*shape, 3), dtype=np.float32)
        self._row = 0

    def add(self, rows: Pixels) -> None:
        """The next rows, u1 (k, w, 3)."""
        for start in range(0, len(rows), STEP_ROWS):
            self._add_step(_mean_columns(rows[start : start + STEP_ROWS], self._column_edges))

    def _add_step(self, rows: npt.NDArray[np.float32]) -> None:
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
        self._sums[first:last] += np.tensordot(weights, rows, axes=1)

    def result(self) -> Pixels:
        """The means of what was added, rounded: u1 (height, width, 3)."""
        height = self._row_edges[1] - self._row_edges[0]
        self._sums /= np.float32(height)
        return np.clip(np.rint(self._sums, out=self._sums), 0, 255).astype(np.uint8)


def _mean_columns(rows: Pixels, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Means between consecutive column edges: u1 (k, w, 3) -> f4 (k, len(edges) - 1, 3)."""
    width = rows.shape[1]
    sums = np.zeros((rows.shape[0], width + 1, 3), dtype=np.int64)
    np.cumsum(rows, axis=1, dtype=np.int64, out=sums[:, 1:])
    whole = np.minimum(edges.astype(np.int64), width)
    part = (edges - whole)[:, None]
    at_edges = sums[:, whole] + part * rows[:, np.minimum(whole, width - 1)]
    means: npt.NDArray[np.float64] = np.diff(at_edges, axis=1) / (edges[1] - edges[0])
    return means.astype(np.float32)
