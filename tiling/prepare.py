"""The first task of a slide: plan it, and write what is known before any patch is cut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiling import zarrjson
from tiling.encoding import JPEG, Encoding
from tiling.pixels import Footprint
from tiling.plan import SlidePlan, plan_slide
from tiling.request import CutOptions, SlideSource, open_source
from tiling.storage import Storage
from tiling.store import DOCUMENT, SlideWriter
from wsi.fingerprint import fingerprint
from wsi.slide import Slide

THUMBNAIL = Encoding(JPEG, (("level", 85),))


@dataclass(frozen=True)
class Prepared:
    """A planned slide, as light as the coordinator needs it.

    Attributes:
        origins: top-left corners `(N, 2)` as x, y in pixels of the level.
        checksums: of what is written already.
        attributes: of the slide, so far.
    """

    slide: Slide
    footprint: Footprint
    origins: NDArray[np.float64]
    encoding: Encoding
    capacity: int
    checksums: dict[str, list[int]]
    attributes: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of patches."""
        return len(self.origins)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.origins) // self.capacity)


def prepare_slide(
    source: SlideSource, options: CutOptions, storage: Storage, prefix: str
) -> Prepared:
    """Plan a slide and put its coordinates, tissue and thumbnail under `prefix`.

    Raises:
        SlideError: the slide cannot be opened, or has no resolution.
        PlanError: what was asked for cannot be cut from it.
        StoreError: the archive cannot be written.
    """
    plan = plan_slide(source, options)
    storage.delete(f"{prefix}/{DOCUMENT}")  # un-commits where slides are prepared in place
    storage.delete(prefix)
    writer = SlideWriter(storage, prefix)
    for name, array in _arrays(plan):
        writer.put_array(name, array)
    grid = plan.grid
    level_downsample = grid.downsample
    return Prepared(
        slide=open_source(source, options),
        footprint=Footprint(
            grid.extent_x,
            grid.extent_y,
            options.patch_size_px,
            plan.resolution.level,
            level_downsample,
            plan.attributes["icc"],
        ),
        origins=grid.origins(plan.indices),
        encoding=plan.encoding,
        capacity=plan.patches_per_shard,
        checksums=writer.checksums,
        attributes=dict(plan.attributes) | {"source": fingerprint(source.location)},
    )


def _arrays(plan: SlidePlan) -> list[tuple[str, zarrjson.SmallArray]]:
    mask = plan.tissue_mask.astype(np.uint8)
    return [
        ("coords", zarrjson.small_array(plan.coords, "i4")),
        ("tissue_fraction", zarrjson.small_array(plan.tissue_fraction, "f4")),
        ("tissue_mask", zarrjson.small_array(mask, "u1", compress=True)),
        ("thumbnail", zarrjson.image_array(plan.thumbnail, THUMBNAIL)),
    ]
