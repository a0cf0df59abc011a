"""One array of a map with its coarser levels, of which any part can be read."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflows.mapping.pyramid import Pyramid, level_sizes

Bytes = NDArray[np.uint8]
Read = Callable[[slice, slice], Bytes]
"""Gives the part under rows and columns of the finest level, which are within it."""
Halve = Callable[[Bytes], Bytes]

OVERVIEW_PX = 2048
"""Longest side of the finest level that is kept ready; a part of a finer one is cheap to make."""
BAND_VALUES = 8 << 20
"""Pixels that are read at a time when all of an array is."""


@dataclass(frozen=True)
class Plane:
    """An array `(h, w)` and how it is made coarser.

    Attributes:
        height_px, width_px: of the finest level.
        read: reads that.
        halve: makes the next coarser level.
    """

    height_px: int
    width_px: int
    read: Read
    halve: Halve

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of all levels, from the finest to one pixel."""
        return level_sizes(self.height_px, self.width_px, 1)

    @property
    def kept_level(self) -> int:
        """The finest level that is kept ready."""
        return len(level_sizes(self.height_px, self.width_px, OVERVIEW_PX)) - 1

    def bands(self) -> Iterator[Bytes]:
        """Read all of it from top to bottom."""
        step = max(1, BAND_VALUES // self.width_px)
        for start in range(0, self.height_px, step):
            stop = min(start + step, self.height_px)
            yield self.read(slice(start, stop), slice(0, self.width_px))

    def write_overview(self, path: Path) -> None:
        """Write all levels that are kept ready, one after the other, as plain bytes."""
        rows: list[list[Bytes]] = [[] for _ in self.sizes]

        def take(level: int, found: Bytes) -> None:
            if level >= self.kept_level:
                rows[level].append(found)

        pyramid = Pyramid(len(self.sizes), take, self.halve)
        for band in self.bands():
            pyramid.add(band)
        pyramid.finish()
        with path.open("wb") as file:
            for level in rows[self.kept_level :]:
                for found in level:
                    file.write(np.ascontiguousarray(found).data)

    def part(self, overview: Path, level: int, rows: slice, columns: slice) -> Bytes:
        """Read a part of a level.

        Args:
            overview: what `write_overview` wrote.
            level: 0 is the finest.
            rows: of that level, within it.
            columns: likewise.
        """
        if level >= self.kept_level:
            return self._kept(overview, level)[rows, columns]
        found = self.read(
            _finer(rows, level, self.height_px), _finer(columns, level, self.width_px)
        )
        for _ in range(level):
            found = self.halve(found)
        return found

    def _kept(self, overview: Path, level: int) -> Bytes:
        before = sum(math.prod(size) for size in self.sizes[self.kept_level : level])
        return np.memmap(overview, np.uint8, "r", before, self.sizes[level])


def _finer(span: slice, level: int, length: int) -> slice:
    """Give the part of the finest level that a part of a coarser one is made of."""
    return slice(span.start << level, min(span.stop << level, length))


def halve_present(values: Bytes) -> Bytes:
    """Mean of those of each 2 x 2 pixels that are not 0, rounded half up; 0 where all are."""
    height, width = values.shape
    whole = np.pad(values, ((0, height % 2), (0, width % 2))).astype(np.uint16)
    four = np.stack([whole[::2, ::2], whole[::2, 1::2], whole[1::2, ::2], whole[1::2, 1::2]])
    count = np.maximum((four > 0).sum(axis=0, dtype=np.uint16), 1)
    means: Bytes = ((2 * four.sum(axis=0, dtype=np.uint16) + count) // (2 * count)).astype(np.uint8)
    return means


def enlarge(values: Bytes, factor: int) -> Bytes:
    """Show every pixel as a square of `factor` x `factor`."""
    return values.repeat(factor, axis=0).repeat(factor, axis=1)


def enlarged_read(read: Read, factor: int) -> Read:
    """Read an array whose pixels are shown as squares of `factor` x `factor`."""
    if factor == 1:
        return read

    def read_large(rows: slice, columns: slice) -> Bytes:
        spans = [slice(s.start // factor, -(-s.stop // factor)) for s in (rows, columns)]
        large = enlarge(read(*spans), factor)
        top, left = (
            s.start - part.start * factor for s, part in zip((rows, columns), spans, strict=True)
        )
        return large[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]

    return read_large
