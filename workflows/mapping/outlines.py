"""Polygons of a class map, band by band: pieces that cross bands are joined.

In memory are one band and the corners of pieces that go on below it, never all pixels. Every ring
is simple. Where two pixels of a class touch at a point only, outlines cross over there if both hang
together elsewhere, so that what they enclose becomes a hole with a ring of its own; if they do not,
each outline stays with its pixel.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tiling.tissuemap import NO_CLASS
from workflows.mapping.corners import NONE, Bytes, Ints, Mask, Numbers, find_corners, link_vertical

DIRECTIONS = ("S", "N")


@dataclass(frozen=True)
class Outlines:
    """Polygons that are finished, p of them; rings are closed and do not repeat their first point.

    Attributes:
        x, y: `(n,)`, corners in pixels of the map, ring after ring.
        rings: `(r + 1,)`, where each ring begins, and the end. Of a polygon the outline comes first
            (counterclockwise where y grows upwards), then its holes (clockwise).
        polygons: `(p + 1,)`, the number of each polygon's first ring, and the end.
        classes: `(p,)`, class numbers.
        pixels: `(p,)`, area in pixels.
    """

    x: Ints
    y: Ints
    rings: Numbers
    polygons: Numbers
    classes: Bytes
    pixels: Numbers

    def __len__(self) -> int:
        """Number of polygons."""
        return len(self.classes)

    def of_polygon(self, number: int) -> list[NDArray[np.int32]]:
        """Rings of one polygon, each `(k, 2)` as x, y."""
        first, last = self.polygons[number : number + 2]
        bounds = self.rings[first : last + 1].tolist()
        return [np.stack([self.x[i:j], self.y[i:j]], axis=1) for i, j in itertools.pairwise(bounds)]


@dataclass
class _Pool:
    """Corners of pieces that are not finished; see `Corners`."""

    x: Ints
    y: Ints
    piece: Ints
    number: Bytes
    follower: Numbers
    twin: Numbers

    def take(self, chosen: Mask) -> "_Pool":
        """Give some corners, numbered anew; links to others are cut."""
        renumbered = np.where(chosen, np.cumsum(chosen) - 1, NONE)
        values = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        for name in ("follower", "twin"):
            old = values[name]
            values[name] = np.where(old == NONE, NONE, renumbered[old])
        return _Pool(**values)


def trace(bands: Iterable[Bytes], width_px: int) -> Iterator[Outlines]:
    """Give the polygons of a map from its bands `(n, width_px)`, top to bottom, once they end."""
    tracer = _Tracer(width_px)
    for band in bands:
        yield tracer.add(band)
    yield tracer.add(np.full((1, width_px), NO_CLASS, np.uint8))


class _Tracer:
    """What is known after the last band.

    Pieces that reach its last row have the numbers 0 to `_open` - 1.
    """

    def __init__(self, width_px: int) -> None:
        empty, none = np.zeros(0, np.int32), np.zeros(0, np.int64)
        self._pool = _Pool(empty, empty, empty, np.zeros(0, np.uint8), none, none)
        self._hanging = dict.fromkeys(DIRECTIONS, none)
        self._last_row = np.full(width_px + 2, NO_CLASS, np.uint8)
        self._last_pieces = np.zeros(width_px + 2, np.int32)
        self._open = 0
        self._line = 0

    def add(self, band: Bytes) -> Outlines:
        """Take the next rows; gives the polygons that end by them."""
        classes, pieces, count = self._framed(band)
        found = find_corners(classes, pieces, self._line)
        offset = len(self._pool.x)
        for name in ("x", "y", "piece", "number"):
            joined = np.concatenate([getattr(self._pool, name), getattr(found, name)])
            setattr(self._pool, name, joined)
        for name in ("follower", "twin"):
            new = getattr(found, name)
            new[new != NONE] += offset
            joined = np.concatenate([getattr(self._pool, name), new])
            setattr(self._pool, name, joined)
        for direction in DIRECTIONS:
            upper = np.concatenate([self._hanging[direction], found.upper[direction] + offset])
            self._link(direction, upper, found.lower[direction] + offset)
        self._line += len(band)
        self._last_row = classes[-1].copy()
        return self._split(pieces[-1], count)

    def _framed(self, band: Bytes) -> tuple[Bytes, Ints, int]:
        """Classes and pieces of the band with the row above it, and the number of pieces."""
        from skimage.measure import label

        classes = np.full((len(band) + 1, band.shape[1] + 2), NO_CLASS, np.uint8)
        classes[0] = self._last_row
        classes[1:, 1:-1] = band
        pieces = np.zeros(classes.shape, np.int32)
        pieces[1:] = label(classes[1:], background=NO_CLASS, connectivity=1)
        new = int(pieces[1:].max(initial=0))
        pieces[1:] += self._open - 1  # label begins with 1; of what has no class nobody asks
        pieces[0] = self._last_pieces
        touching = (classes[0] == classes[1]) & (classes[0] != NO_CLASS)
        merged, count = _merge(pieces[0][touching], pieces[1][touching], self._open + new)
        self._pool.piece = merged[self._pool.piece]
        return classes, merged[np.maximum(pieces, 0)] if len(merged) else pieces, count

    def _link(self, direction: str, upper: Numbers, lower: Numbers) -> None:
        pool = self._pool
        ends = link_vertical(pool.x, pool.y, upper, lower)
        ended = ends != NONE
        start, end = upper[ended], ends[ended]
        if direction == "S":
            pool.follower[start] = end
        else:
            pool.follower[end] = start
        self._hanging[direction] = upper[~ended]

    def _split(self, last_pieces: Ints, count: int) -> Outlines:
        """Keep the pieces that reach the last row, numbered anew, and give out the others."""
        goes_on = np.zeros(count + 1, np.bool_)
        goes_on[last_pieces[self._last_row != NO_CLASS]] = True
        renumbered = (np.cumsum(goes_on) - 1).astype(np.int32)
        stays = goes_on[self._pool.piece]
        done = self._pool.take(~stays)
        position = np.cumsum(stays) - 1
        self._hanging = {name: position[at] for name, at in self._hanging.items()}
        self._pool = self._pool.take(stays)
        self._pool.piece = renumbered[self._pool.piece]
        self._last_pieces = renumbered[last_pieces]
        self._open = int(goes_on.sum())
        return _outlines(done)


def _merge(above: Ints, below: Ints, count: int) -> tuple[Ints, int]:
    """Number pieces anew where pairs of them are one; gives new numbers, and how many there are."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not count:
        return np.zeros(0, np.int32), 0
    pairs = np.unique(np.stack([above, below]), axis=1)
    graph = coo_array((np.ones(pairs.shape[1], np.bool_), tuple(pairs)), (count, count))
    found, merged = connected_components(graph, directed=False)
    return merged.astype(np.int32), int(found)


def _outlines(pool: _Pool) -> Outlines:
    """Walk along the outlines of finished pieces."""
    follower = pool.follower
    twins = np.flatnonzero(pool.twin != NONE)
    twins = twins[pool.piece[twins] == pool.piece[pool.twin[twins]]]
    follower = follower.copy()
    follower[twins] = pool.follower[pool.twin[twins]]
    order, starts = _walk(follower, pool.y[follower] == pool.y)
    x, y = pool.x.astype(np.int64), pool.y.astype(np.int64)
    cross = (x * y[follower] - x[follower] * y)[order]  # shoelace formula
    area = np.add.reduceat(cross, starts) // 2 if len(starts) else np.zeros(0, np.int64)
    piece = pool.piece[order[starts]]
    by_piece = np.lexsort((np.arange(len(starts)), area < 0, piece))
    lengths = np.diff(np.append(starts, len(order)))[by_piece]
    ends = np.cumsum(lengths)
    chosen = order[np.repeat(starts[by_piece] - ends + lengths, lengths) + np.arange(len(order))]
    first = np.flatnonzero(np.diff(piece[by_piece], prepend=NONE))
    return Outlines(
        x=pool.x[chosen],
        y=pool.y[chosen],
        rings=np.append(0, ends),
        polygons=np.append(first, len(starts)),
        classes=pool.number[order[starts[by_piece[first]]]],
        pixels=np.add.reduceat(area[by_piece], first) if len(first) else area,
    )


def _walk(follower: Numbers, leaves_level: Mask) -> tuple[Numbers, Numbers]:
    """Follow the links until they close; gives corners ring by ring, and where rings begin.

    Level and vertical edges alternate, so that every second corner is enough for the walk.
    """
    half = np.flatnonzero(leaves_level)
    position = np.cumsum(leaves_level) - 1
    links = position[follower[follower[half]]].data
    seen = bytearray(len(half))
    order = np.empty(len(half), np.int64)
    written = order.data
    starts: list[int] = []
    count = 0
    for first in range(len(half)):
        if seen[first]:
            continue
        starts.append(count)
        at = first
        while not seen[at]:
            seen[at] = 1
            written[count] = at
            count += 1
            at = links[at]
    walked = half[order]
    both = np.stack([walked, follower[walked]], axis=1).ravel()
    return both, 2 * np.array(starts, np.int64)
