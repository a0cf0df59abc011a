"""How much of each patch is tissue: exact fractional areas from a summed-area table.

A mask is a function that is constant on each of its pixels, so its integral is piecewise bilinear:
interpolating the summed-area table gives the area under any rectangle exactly, edges between pixels
included. Pure arithmetic on arrays.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def patch_fractions(
    mask: NDArray[np.bool_],
    coords: NDArray[np.float64] | NDArray[np.integer],
    footprint: tuple[float, float],
    slide_size: tuple[int, int],
) -> NDArray[np.float32]:
    """Return the share of each patch's area that is tissue, in [0, 1].

    Args:
        mask: tissue over the whole slide, (h, w).
        coords: x, y of the top-left corners in level-0 px, (N, 2); may lie outside the slide.
        footprint: width, height of a patch in level-0 px.
        slide_size: width, height of level 0; the mask's outer edges are the slide's.

    Returns:
        Tissue area over the whole patch's area, (N,); what is outside the slide is no tissue.
    """
    height, width = mask.shape
    scale = np.array([width, height]) / np.asarray(slide_size, np.float64)
    starts = np.asarray(coords, np.float64).reshape(-1, 2) * scale
    size = np.asarray(footprint, np.float64) * scale
    stops = starts + size
    left, top = _split(starts[:, 0], width), _split(starts[:, 1], height)
    right, bottom = _split(stops[:, 0], width), _split(stops[:, 1], height)
    table = summed_area(mask)
    covered = _integral(table, bottom, right) - _integral(table, bottom, left)
    covered -= _integral(table, top, right) - _integral(table, top, left)
    fractions: NDArray[np.float32] = np.clip(covered / size.prod(), 0, 1).astype(np.float32)
    return fractions


def summed_area(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the table T (h + 1, w + 1) with T[r, c] = number of true pixels above r, left of c."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int32)
    np.cumsum(mask, axis=0, dtype=np.int32, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    return table


class _Split(NamedTuple):
    """Positions on one axis as an index and the rest in [0, 1], (N,) each."""

    whole: NDArray[np.intp]
    rest: NDArray[np.float64]


def _split(at: NDArray[np.float64], last: int) -> _Split:
    """Clip positions to [0, last] and split them; the index is at most last - 1."""
    clipped = np.clip(at, 0, last)
    whole = np.minimum(clipped.astype(np.intp), last - 1)
    return _Split(whole, clipped - whole)


def _integral(table: NDArray[np.int32], row: _Split, column: _Split) -> NDArray[np.float64]:
    """Return the mask's area above and left of each position, (N,)."""
    flat, width = table.ravel(), table.shape[1]
    corner = row.whole * width + column.whole
    upper = _between(flat[corner], flat[corner + 1], column.rest)
    lower = _between(flat[corner + width], flat[corner + width + 1], column.rest)
    return upper + (lower - upper) * row.rest


def _between(
    a: NDArray[np.int32], b: NDArray[np.int32], rest: NDArray[np.float64]
) -> NDArray[np.float64]:
    between: NDArray[np.float64] = a + (b - a) * rest
    return between
