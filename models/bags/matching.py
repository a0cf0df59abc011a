"""Which row of another tool's bag is which patch of ours, in the frame that the tool has.

A frame that rounds (microns, centres) is undone to the nearest patch within a tolerance.
"""

import numpy as np
from numpy.typing import NDArray

from models.bags.patches import Patches
from models.bags.table import ForeignBag
from models.errors import BagError
from tiling.tiles import UNREADABLE

TOLERANCE_PX = 1.5
"""Level-0 pixels between a position and its patch: what frames that round may be off by."""
TOLERANCE_CELLS = 0.25

Positions = NDArray[np.float64]


def match_rows(foreign: ForeignBag, bag: Patches) -> NDArray[np.int64]:
    """Find the row of `foreign` for each patch of `bag`: `(N,)`, -1 where there is none.

    Args:
        foreign: rows in any order.
        bag: the slide with all its patches kept, unreadable ones too.

    Raises:
        BagError: a position is of no patch of ours, two are of the same, or a readable patch has
            no row.
    """
    if foreign.frame == "grid":
        cells = bag.row_col[:, ::-1]
        rows = _nearest(np.asarray(foreign.positions, np.float64), cells, TOLERANCE_CELLS)
    else:
        rows = _nearest(positions_level0(foreign, bag), bag.coords, TOLERANCE_PX)
    if (rows < 0).any():
        x, y = foreign.positions[int(np.flatnonzero(rows < 0)[0])]
        raise BagError(
            f"{foreign.name}: {np.count_nonzero(rows < 0)} of {len(rows)} rows are of no patch of "
            f"{bag.slide_id}, the first at ({x:g}, {y:g}); was the slide cut the same way?"
        )
    if len(np.unique(rows)) < len(rows):
        raise BagError(f"{foreign.name}: two rows are of the same patch of {bag.slide_id}")
    found = np.full(len(bag), -1, np.int64)
    found[rows] = np.arange(len(rows))
    missing = np.count_nonzero((found < 0) & (bag.status != UNREADABLE))
    if missing:
        raise BagError(f"{foreign.name}: {missing} patches of {bag.slide_id} have no row")
    return found


def positions_level0(foreign: ForeignBag, bag: Patches) -> Positions:
    """Give corners `(n, 2)` as x, y in level-0 pixels.

    Raises:
        BagError: the slide has no resolution, and the frame needs it.
    """
    given = np.asarray(foreign.positions, np.float64)
    if foreign.frame == "um":
        mpp0, _ = bag.require_mpp("a bag in microns")
        return np.asarray(given / np.array(mpp0))
    if foreign.frame == "centre":
        return np.asarray(np.ceil(given - np.array(bag.level0_patch) / 2 - 1e-6))
    return given


def _nearest(wanted: Positions, known: NDArray[np.int32], limit: float) -> NDArray[np.int64]:
    """Find the patch nearest to each position, -1 where none is within the limit."""
    from scipy.spatial import KDTree

    if not len(known) or not len(wanted):
        return np.full(len(wanted), -1, np.int64)
    distance, rows = KDTree(known).query(wanted, distance_upper_bound=limit)
    return np.where(np.isfinite(distance), rows, -1).astype(np.int64)
