"""What a tissue map will be, before any window of it is there: classes, place, windows, shards."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tiling import zarrjson
from tiling.errors import PlanError
from tiling.maps import SHARD_BYTES, MapLayout
from tiling.shard import crc32c
from tiling.stitching import Layout
from tiling.tissuemap import CLASSES, ENTROPY, KIND, PROBABILITIES, Legend, describe
from tiling.windows import MapFrame


@dataclass(frozen=True)
class MapPlan:
    """A map that is to be written.

    Attributes:
        legend: its classes.
        frame: where it lies on the slide.
        layout: its windows, and the tissue.
        model: what makes it, JSON values: the model's card, the slide's source.
        shard_bytes: probabilities of a shard before they are compressed; also what is lost when a
            run is killed.

    Raises:
        PlanError: windows, frame and classes do not fit each other.
    """

    legend: Legend
    frame: MapFrame
    layout: Layout
    model: Mapping[str, Any]
    shard_bytes: int = SHARD_BYTES // 2

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        grid, frame = self.layout.grid, self.frame
        if (grid.height_px, grid.width_px) != (frame.height_px, frame.width_px):
            raise PlanError(f"the windows are those of another map: {grid}, but {frame}")
        if self.layout.classes != len(self.legend.names):
            names = ", ".join(self.legend.names)
            raise PlanError(f"{self.layout.classes} classes are not those named: {names}")

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """What is recorded of the map; `identity` is the sha256 of all the others."""
        grid, mask = self.layout.grid, self.layout.mask
        tissue = None
        if mask is not None:
            tissue = {"shape": list(mask.shape), "crc32c": crc32c([mask.tobytes()])}
        known = describe(self.legend, self.frame) | {
            "kind": KIND,
            "model": dict(self.model),
            "window_px": grid.window_px,
            "overlap_px": grid.overlap_px,
            "ramp": self.layout.ramp,
            "tissue": tissue,
            "shard_bytes": self.shard_bytes,
        }
        return known | {"identity": hashlib.sha256(zarrjson.dumps(known)).hexdigest()}

    @cached_property
    def band_rows(self) -> int:
        """Rows of cells of a band, which is written at once."""
        grid = self.layout.grid
        row = self._cell_bytes * grid.cell_columns
        return max(1, min(self.shard_bytes // row, grid.cell_rows))

    @cached_property
    def shard_columns(self) -> int:
        """Columns of cells of a shard; all of them where a row of cells is not too much."""
        columns = max(1, self.shard_bytes // self._cell_bytes)
        return min(columns, self.layout.grid.cell_columns)

    @property
    def _cell_bytes(self) -> int:
        return self.layout.classes * self.layout.grid.stride_px**2

    @cached_property
    def arrays(self) -> dict[str, MapLayout]:
        """How each array is cut: a chunk is a cell."""
        side = self.layout.grid.stride_px
        shape = self.frame.height_px, self.frame.width_px
        shard = self.band_rows * side, self.shard_columns * side
        count = self.layout.classes
        return {
            PROBABILITIES: MapLayout((count, *shape), "u1", ((1, side, side), (count, *shard))),
            CLASSES: MapLayout(shape, "u1", ((side, side), shard)),
            ENTROPY: MapLayout(shape, "u1", ((side, side), shard)),
        }
