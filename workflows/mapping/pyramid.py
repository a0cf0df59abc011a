"""Coarser levels of a map, made while its rows pass from top to bottom once."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def level_sizes(height: int, width: int, largest_px: int) -> list[tuple[int, int]]:
    """Heights and widths from the finest level to the first that is at most `largest_px` a side."""
    sizes = [(height, width)]
    while max(sizes[-1]) > largest_px:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def halve_classes(classes: Bytes) -> Bytes:
    """Most frequent class of each 2 x 2 pixels; of equals the first, row-major."""
    a, b, c, d = _quarters(classes)
    alone = (a != b) & (a != c) & (a != d)
    rest = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    return np.where(alone, rest, a)


def halve_values(values: Bytes) -> Bytes:
    """Mean of each 2 x 2 pixels, rounded half up."""
    a, b, c, d = (quarter.astype(np.uint16) for quarter in _quarters(values))
    return ((a + b + c + d + 2) // 4).astype(np.uint8)


def _quarters(values: Bytes) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """The four pixels of each 2 x 2; an odd last row or column counts twice."""
    height, width = values.shape
    whole = np.pad(values, ((0, height % 2), (0, width % 2)), mode="edge")
    return whole[::2, ::2], whole[::2, 1::2], whole[1::2, ::2], whole[1::2, 1::2]


class Pyramid:
    """Takes rows of the finest level, and hands rows of all levels on.

    Args:
        levels: how many there are, the finest one included.
        take: is given the number of a level, 0 the finest, and its next rows `(n, w)`.
        halve: makes the next coarser rows.
    """

    def __init__(
        self,
        levels: int,
        take: Callable[[int, Bytes], None],
        halve: Callable[[Bytes], Bytes] = halve_classes,
    ) -> None:
        self._levels, self._take, self._halve = levels, take, halve
        self._odd: dict[int, Bytes] = {}

    def add(self, rows: Bytes, level: int = 0) -> None:
        """Take the next rows of a level, the finest one unless told otherwise."""
        if not len(rows):
            return
        self._take(level, rows)
        if level + 1 == self._levels:
            return
        if level in self._odd:
            rows = np.concatenate([self._odd.pop(level), rows])
        if len(rows) % 2:
            self._odd[level] = rows[-1:].copy()
        self.add(self._halve(rows[: len(rows) // 2 * 2]) if len(rows) > 1 else rows[:0], level + 1)

    def finish(self) -> None:
        """Hand on the last rows, which have no partner; nothing is left for a second time."""
        for level in range(self._levels - 1):
            if level in self._odd:
                self.add(self._halve(self._odd.pop(level)), level + 1)


def regroup(bands: Iterable[Bytes], rows_px: int) -> Iterator[Bytes]:
    """Cut bands anew, into bands of `rows_px` rows; the last one may have fewer."""
    held: list[Bytes] = []
    count = 0
    for band in bands:
        held.append(band)
        count += len(band)
        if count >= rows_px:
            joined = np.concatenate(held)
            whole = count // rows_px * rows_px
            yield from (joined[i : i + rows_px] for i in range(0, whole, rows_px))
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)
