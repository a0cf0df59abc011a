"""Ordered positions of patches in slides, for what learns from them: depth in tissue, or sections.

The classes mean the same at every site: METHODS 9.1 wants them in the place of the z of volumes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiling.errors import PlanError
from tiling.labels import PARTITION, add_array, partition_array, partition_of
from tiling.storage import Storage
from tiling.store import PatchStore

COORDS_MADE_UP = "made up"


class Section(NamedTuple):
    """A slide and its place among the serial sections of a block."""

    slide_id: str
    block: str
    order: float


def zones(mask: NDArray[np.uint8], centres: NDArray[np.float64], classes: int) -> NDArray[np.int16]:
    """Cut tissue into concentric zones by distance from its border, (N,), 0 is outermost.

    Distances are taken as shares of the deepest place of the same piece of tissue, and the shares
    are cut into equal parts (our choice), so that a zone means the same in small and large pieces.

    Args:
        mask: 0 and 1, on the grid of the thumbnail; beyond its edge there is no tissue.
        centres: row, column of each patch's middle on that grid, (N, 2).
        classes: number of zones.

    Returns:
        Class of each; 0 also where the middle of a patch is no tissue.
    """
    from scipy import ndimage

    if classes < 1:
        raise ValueError(f"there must be at least 1 zone, got {classes}")
    padded = np.pad(mask > 0, 1)
    depth = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    pieces, count = ndimage.label(mask > 0, np.ones((3, 3)))
    deepest = np.ones(count + 1)
    if count:
        deepest[1:] = ndimage.maximum(depth, pieces, np.arange(1, count + 1))
    rows, columns = (
        np.clip(centres[:, axis].astype(np.int64), 0, mask.shape[axis] - 1) for axis in range(2)
    )
    share = depth[rows, columns] / deepest[pieces[rows, columns]]
    found: NDArray[np.int16] = np.minimum(share * classes, classes - 1).astype(np.int16)
    return found


def zones_of(store: PatchStore, classes: int) -> NDArray[np.int16]:
    """Give the zone of each patch of a slide.

    Raises:
        PlanError: its patches were imported, so nobody knows where they lie.
    """
    known = store.attributes
    if known.get("import", {}).get("coords") == COORDS_MADE_UP:
        raise PlanError(
            f"{store.slide_id} was imported without places of its patches, so it has no zones; "
            "cut it from a slide with `microtome tile`"
        )
    mask = store.tissue_mask
    finest = known["levels"][0]
    scale = np.array(mask.shape) / [finest["height"], finest["width"]]
    side = np.array(known["patch_size_level0"], np.float64)
    middles = store.coords + np.broadcast_to(side, (2,)) / 2  # x, y
    return zones(mask, middles[:, ::-1] * scale, classes)


def section_classes(sections: Sequence[Section], classes: int) -> dict[str, int]:
    """Give the class of each slide: the sections of a block in their order, cut as slices are.

    Raises:
        PlanError: two sections of a block have one place.
    """
    blocks: dict[str, list[Section]] = defaultdict(list)
    for section in sections:
        blocks[section.block].append(section)
    found: dict[str, int] = {}
    for block, many in blocks.items():
        if len({one.order for one in many}) < len(many):
            raise PlanError(f"two sections of {block} have the same place; number them anew")
        ordered = sorted(many, key=lambda one: one.order)
        parts = partition_of(len(ordered), classes).tolist()
        found |= {one.slide_id: part for one, part in zip(ordered, parts, strict=True)}
    return found


def write_partition(storage: Storage, partition: Mapping[str, NDArray[np.int16]]) -> None:
    """Add the partition of slides, or replace it: each slide's wholly or not at all."""
    for slide_id, values in partition.items():
        add_array(storage, slide_id, PARTITION, partition_array(values))
