"""Pieces of tissue as polygons, and which piece a patch lies on. Knows no format."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.bags.bag import Bag
from tiling.store import DOCUMENT

NONE = -1
"""Number of the piece of a patch where the slide has no tissue at all."""


class Pieces:
    """The pieces of tissue of one slide: pixels of its mask that touch along an edge.

    Attributes:
        numbers: `(h, w)` on the grid of the mask: 0 no tissue, else one more than the piece.
        count: number of pieces.
        scale: level-0 pixels per pixel of the mask, along x and y.
    """

    def __init__(self, mask: NDArray[np.uint8], level0_size: tuple[int, int]) -> None:
        self.numbers, self.count = ndimage.label(mask)
        height, width = mask.shape
        self.scale = (level0_size[0] / width, level0_size[1] / height)

    def at(self, points: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Give the piece `(n,)` at or nearest to points `(n, 2)`, x and y in level-0 pixels."""
        if not self.count:
            return np.full(len(points), NONE, np.int64)
        height, width = self.numbers.shape
        columns, rows = np.floor(points / self.scale).astype(np.int64).T
        rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        nearest = ndimage.distance_transform_edt(
            self.numbers == 0, return_distances=False, return_indices=True
        )
        found: NDArray[np.int64] = self.numbers[tuple(nearest[:, rows, columns])].astype(np.int64)
        return found - 1

    def polygons(self) -> Iterator[Any]:
        """Give each piece as a shapely polygon in level-0 pixels, along the mask's pixel edges."""
        import shapely

        for number, (rows, columns) in enumerate(ndimage.find_objects(self.numbers), start=1):
            corners = _runs(self.numbers[rows, columns] == number)
            offset = (columns.start, rows.start)
            joined = shapely.simplify(shapely.union_all(shapely.box(*corners)), 0)
            yield shapely.transform(joined, lambda xy, at=offset: (xy + at) * self.scale)


def find_pieces(bag: Bag) -> Pieces | None:
    """Find the pieces of tissue of a slide; None where it has no mask (imported patches)."""
    known = bag.store.storage.exists(f"{bag.slide_id}/tissue_mask/{DOCUMENT}")
    if not known or bag.level0_size is None or not bag.store.tissue_mask.size:
        return None
    return Pieces(bag.store.tissue_mask, bag.level0_size)


def _runs(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], ...]:
    """Give the runs of set pixels along rows as boxes `(n,)` x1, y1, x2, y2."""
    edges = np.diff(np.pad(inside.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    return starts, rows, stops, rows + 1
