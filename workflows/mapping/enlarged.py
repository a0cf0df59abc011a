"""Maps of few pixels, enlarged to what a person can look at."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tiling.tissuemap import ClassMap, Legend
from tiling.windows import MapFrame
from wsi.geometry import Mpp

Bytes = NDArray[np.uint8]

SMALLEST_PX = 512
"""Longest side that a picture should have: maps of one pixel per patch are enlarged to it."""


@dataclass(frozen=True)
class EnlargedMap:
    """A map whose pixels are shown as squares of `factor` x `factor`."""

    source: ClassMap
    factor: int

    @property
    def legend(self) -> Legend:
        """See `ClassMap.legend`."""
        return self.source.legend

    @property
    def frame(self) -> MapFrame:
        """See `ClassMap.frame`."""
        known, factor = self.source.frame, self.factor
        return replace(
            known,
            height_px=known.height_px * factor,
            width_px=known.width_px * factor,
            level0_step_x=known.level0_step_x / factor,
            level0_step_y=known.level0_step_y / factor,
            mpp=Mpp(known.mpp.x / factor, known.mpp.y / factor),
        )

    def read_rows(self, array: str, start: int, stop: int) -> Bytes:
        """See `ClassMap.read_rows`."""
        first, last = start // self.factor, -(-stop // self.factor)
        rows = self.source.read_rows(array, first, last)
        large = rows.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        return large[start - first * self.factor : stop - first * self.factor]


def enlarged(source: ClassMap) -> ClassMap:
    """Enlarge a map by a whole number, if it is too small to look at."""
    side = max(source.frame.height_px, source.frame.width_px)
    factor = -(-SMALLEST_PX // side)
    return source if factor == 1 else EnlargedMap(source, factor)
