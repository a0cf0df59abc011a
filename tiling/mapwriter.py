"""Writes a tissue map while its windows come in: band by band, resumable, in bounded memory.

A band is some rows of cells; when its last cell is there its shards are written, then a note that
it is done. A run that was killed goes on after the last note and needs the windows of one row
again. `zarr.json` comes last; until then nobody sees the map. Two runs must not write one map at
once: whoever calls this holds the slide's lease.
"""

import json
import math

import numpy as np
from numpy.typing import NDArray

from tiling import zarrjson
from tiling.errors import ConflictError
from tiling.mapplan import MapPlan
from tiling.maps import SlideMap, map_document, map_key, map_names
from tiling.shard import crc32c, shard_parts
from tiling.stitching import Cell, Floats, Stitcher
from tiling.store import DOCUMENT, PatchStore
from tiling.tissuemap import CLASSES, ENTROPY, NO_CLASS, PROBABILITIES

Bytes = NDArray[np.uint8]
Checksums = dict[str, list[int]]

FULL = 255
"""A stored probability, or entropy, of 1."""

NOTES = ".writing"
"""Folder within the map, of what is known of a run under way; gone when the map is committed."""


class MapWriter:
    """Takes the windows of a map, and writes it.

    Attributes:
        is_done: the very same map is there already, and nothing is to be done.

    Args:
        store: the slide.
        name: of the map.
        plan: what is to be written.
        overwrite: replace a map of that name that is another one, committed or not.

    Raises:
        ConflictError: there is another one, and `overwrite` is off.
        StoreError: it cannot be written.
    """

    def __init__(
        self, store: PatchStore, name: str, plan: MapPlan, *, overwrite: bool = False
    ) -> None:
        self._storage, self._key, self._plan = store.storage, map_key(store.slide_id, name), plan
        self._blanks = {array: _encode(self._blank(array)) for array in plan.arrays}
        self._chunks: dict[str, list[bytes]] = {}
        self._checksums: Checksums = {}
        self._note: Checksums = {}
        self.is_done = self._is_committed(store, name, overwrite=overwrite)
        bands = 0 if self.is_done else self._begin(overwrite=overwrite)
        first_row = bands * plan.band_rows
        self._stitcher = Stitcher(plan.layout, self._take, first_row=first_row)

    @property
    def todo(self) -> list[int]:
        """Windows that are still wanted, ascending; best given in this order."""
        return [] if self.is_done else self._stitcher.todo

    def add(self, window: int, probabilities: NDArray[np.generic]) -> None:
        """Take the probabilities `(C, P, P)` of a window; see `Stitcher.add`.

        Raises:
            PlanError: the window is not wanted, or the array is not as said.
            StoreError: a band cannot be written.
        """
        self._stitcher.add(window, probabilities)

    def finish(self) -> None:
        """Write what is left and commit the map.

        Raises:
            PlanError: windows are missing.
            StoreError: it cannot be written.
        """
        if self.is_done:
            return
        self._stitcher.finish()
        for array, layout in self._plan.arrays.items():
            self._put(f"{array}/{DOCUMENT}", [layout.document()], self._checksums)
        known = self._plan.attributes | {
            "arrays": sorted(self._plan.arrays),
            "checksums": self._checksums,
        }
        group = f"{self._key.rpartition('/')[0]}/{DOCUMENT}"
        if not self._storage.exists(group):
            self._storage.write(group, [zarrjson.group_document({})])
        self._storage.write(f"{self._key}/{DOCUMENT}", [map_document(known)])
        self._storage.delete(f"{self._key}/{NOTES}")
        self.is_done = True

    def _is_committed(self, store: PatchStore, name: str, *, overwrite: bool) -> bool:
        if name not in map_names(store):
            return False
        if SlideMap(store, name).attributes.get("identity") == self._plan.attributes["identity"]:
            self._storage.delete(f"{self._key}/{NOTES}")  # of a run that was killed right after
            return True
        if not overwrite:
            raise ConflictError(
                f"{store.slide_id} has another map {name!r}; choose another name, or --overwrite"
            )
        self._storage.delete(f"{self._key}/{DOCUMENT}")
        self._storage.delete(self._key)
        return False

    def _begin(self, *, overwrite: bool) -> int:
        """Note what is being written, and count the bands that an earlier run wrote."""
        begun = f"{self._key}/{NOTES}/plan.json"
        ours = zarrjson.dumps({"identity": self._plan.attributes["identity"]})
        if self._storage.exists(begun) and self._storage.read(begun) != ours:
            if not overwrite:
                raise ConflictError(
                    f"{self._key} was left half written by a run with other settings; finish that "
                    "one, choose another name, or --overwrite"
                )
            self._storage.delete(self._key)
        self._storage.write(begun, [ours])
        bands = 0
        while self._storage.exists(self._note_key(bands)):
            self._checksums |= json.loads(self._storage.read(self._note_key(bands)))
            bands += 1
        self._tidy(bands)
        return bands

    def _tidy(self, band: int) -> None:
        """Remove what a run that was killed while it wrote left of its last object."""
        folders = [f"{array}/{self._shard_key(array, band, 0)}" for array in self._plan.arrays]
        for prefix in ("", NOTES, *self._plan.arrays, *(key.rpartition("/")[0] for key in folders)):
            self._storage.tidy(f"{self._key}/{prefix}".rstrip("/"))

    def _note_key(self, band: int) -> str:
        return f"{self._key}/{NOTES}/band-{band:06d}.json"

    def _take(self, cell: Cell) -> None:
        """Encode a cell; write the shards that it is the last one of, and the note of the band."""
        grid, plan = self._plan.layout.grid, self._plan
        band, row = divmod(cell.row, plan.band_rows)
        shard, column = divmod(cell.column, plan.shard_columns)
        if cell.probabilities is not None:
            self._encode(cell.probabilities, row * plan.shard_columns + column)
        if row < plan.band_rows - 1 and cell.row < grid.cell_rows - 1:
            return
        is_last = cell.column == grid.cell_columns - 1
        if column == plan.shard_columns - 1 or is_last:
            self._write_shards(band, shard)
        if is_last:
            self._storage.write(self._note_key(band), [zarrjson.dumps(self._note)])
            self._checksums |= self._note
            self._note = {}

    def _encode(self, probabilities: Floats, place: int) -> None:
        """Encode a cell's chunks; `place` is its number in the plane of a shard."""
        for array, planes in summarise(probabilities).items():
            capacity = self._plan.arrays[array].capacity
            chunks = self._chunks.setdefault(array, [self._blanks[array]] * capacity)
            for number, plane in enumerate(planes):
                at = number * (capacity // len(planes)) + place
                chunks[at] = _encode(self._fill(plane, array))

    def _write_shards(self, band: int, shard: int) -> None:
        for array, layout in self._plan.arrays.items():
            chunks = self._chunks.pop(array, [self._blanks[array]] * layout.capacity)
            key = f"{array}/{self._shard_key(array, band, shard)}"
            self._put(key, shard_parts(chunks, layout.capacity), self._note)

    def _shard_key(self, array: str, band: int, shard: int) -> str:
        place = (0, band, shard)[-len(self._plan.arrays[array].shape) :]
        return "/".join(["c", *map(str, place)])

    def _put(self, key: str, parts: list[bytes], checksums: Checksums) -> None:
        self._storage.write(f"{self._key}/{key}", parts)
        checksums[key] = [sum(map(len, parts)), crc32c(parts)]

    def _blank(self, array: str) -> Bytes:
        """Picture of a cell without tissue."""
        side = self._plan.layout.grid.stride_px
        return np.full((side, side), NO_CLASS if array == CLASSES else 0, np.uint8)

    def _fill(self, plane: Bytes, array: str) -> Bytes:
        """Fill a picture at the map's edge up to a whole cell."""
        whole = self._blank(array)
        whole[: plane.shape[0], : plane.shape[1]] = plane
        return whole


def summarise(probabilities: Floats) -> dict[str, Bytes]:
    """Give the planes that are stored of probabilities `(C, n, m)` between 0 and 1.

    Pixels whose probabilities are all 0 have no class.

    Returns:
        By array: probabilities `(C, n, m)` from 0 to 255; the most probable class `(1, n, m)`, the
        first one of equals; the entropy `(1, n, m)`, `-sum(p ln p) / ln C` of the probabilities
        divided by their sum, from 0 (sure) to 255 (all are equal).
    """
    best, total = probabilities[0].copy(), probabilities.sum(axis=0)
    classes = np.zeros(best.shape, np.uint8)
    for number, plane in enumerate(probabilities[1:], start=1):
        classes[plane > best] = number
        np.maximum(best, plane, out=best)
    nothing = total == 0
    classes[nothing] = NO_CLASS
    total[nothing] = 1
    scaled = probabilities * np.float32(FULL)
    return {
        PROBABILITIES: np.rint(scaled, out=scaled).astype(np.uint8),
        CLASSES: classes[None],
        ENTROPY: _entropy(probabilities, total)[None],
    }


def _entropy(probabilities: Floats, total: Floats) -> Bytes:
    """Entropy of shares `p / total`: `ln total - sum(p ln p) / total`, as a part of `ln C`."""
    sums, term = np.zeros_like(total), np.empty_like(total)
    for plane in probabilities:
        np.maximum(plane, np.finfo(np.float32).tiny, out=term)
        np.log(term, out=term)
        sums += np.multiply(term, plane, out=term)
    shares = (np.log(total) - sums / total) / math.log(max(2, len(probabilities)))
    scaled: Bytes = np.rint(np.clip(shares * FULL, 0, FULL)).astype(np.uint8)
    return scaled


def _encode(plane: Bytes) -> bytes:
    from numcodecs.zstd import compress

    return bytes(compress(np.ascontiguousarray(plane), 3))
