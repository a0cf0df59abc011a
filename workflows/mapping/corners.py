"""Corners of the outlines of a class map's pieces, and how edges link them: arithmetic on arrays.

A piece is pixels of one class that hang together over sides. Around every point where pixels meet,
`a b` above and `c d` below, a piece turns where it has one pixel of the four, or three. An outline
runs with its piece on the right, as seen: east along upper sides, south along right ones, west
along lower ones, north along left ones. It enters a corner in one direction and leaves it in
another:

    one pixel:    a  S to W     b  W to N     c  E to S     d  N to E
    all but one:  a  E to N     b  S to E     c  N to W     d  W to S

Edges in one direction on one line cannot overlap, so that the k-th start belongs to the k-th end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiling.tissuemap import NO_CLASS

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

NONE = -1
"""Link of a corner that is not known yet, or that it does not have."""

CONVEX, REFLEX = ("a", "b", "c", "d"), ("-a", "-b", "-c", "-d")
"""Kinds of corners: where a piece has only this pixel, and where it has all but this one."""
STARTS = {"E": ("d", "-b"), "W": ("a", "-c"), "S": ("c", "-d"), "N": ("b", "-a")}
"""Kinds of corners that an edge leaves in a direction."""
ENDS = {"E": ("c", "-a"), "W": ("b", "-d"), "S": ("a", "-b"), "N": ("d", "-c")}
"""Kinds of corners that an edge enters in a direction."""
TWINS = (("a", "d"), ("b", "c"))
"""Pixels that touch at a point only."""


@dataclass
class Corners:
    """Corners of a band, n of them.

    Attributes:
        x, y: `(n,)`, columns and rows between pixels.
        piece: `(n,)`, number of the piece.
        number: `(n,)`, its class.
        follower: `(n,)`, the next corner along the outline, or `NONE`.
        twin: `(n,)`, the corner of the pixel of the same class at the other side of the point.
        upper: corners where vertical edges begin, seen from above, by direction.
        lower: corners where they end; an edge may have begun in a band above.
    """

    x: Ints
    y: Ints
    piece: Ints
    number: Bytes
    follower: Numbers
    twin: Numbers
    upper: dict[str, Numbers]
    lower: dict[str, Numbers]


def find_corners(classes: Bytes, pieces: Ints, first_line: int) -> Corners:
    """Find the corners on the lines between the rows of a band.

    Args:
        classes: `(n + 1, w + 2)`, with the row above the band and columns of no class beside it.
        pieces: number of each pixel's piece, of the same shape.
        first_line: number of the line between the first two rows.
    """
    rows, columns = np.nonzero(_turning(classes))
    around = {name: (rows + i, columns + j) for name, i, j in _places()}
    four = {name: classes[place] for name, place in around.items()}
    masks = _kinds(four)
    counts = [int(masks[kind].sum()) for kind in (*CONVEX, *REFLEX)]
    bases = dict(zip((*CONVEX, *REFLEX), np.cumsum([0, *counts[:-1]]).tolist(), strict=True))
    numbers = {
        kind: np.where(mask, np.cumsum(mask) - 1 + bases[kind], NONE)
        for kind, mask in masks.items()
    }
    owner = {kind: kind for kind in CONVEX} | {"-a": "d", "-b": "c", "-c": "d", "-d": "c"}
    places = [tuple(axis[mask] for axis in around[owner[k]]) for k, mask in masks.items()]
    found = Corners(
        x=np.concatenate([columns[mask] for mask in masks.values()]).astype(np.int32),
        y=np.concatenate([rows[mask] for mask in masks.values()]).astype(np.int32) + first_line,
        piece=np.concatenate([pieces[place] for place in places]),
        number=np.concatenate([classes[place] for place in places]),
        follower=np.full(sum(counts), NONE, np.int64),
        twin=np.full(sum(counts), NONE, np.int64),
        upper={"S": _either(numbers, STARTS["S"]), "N": _either(numbers, ENDS["N"])},
        lower={"S": _either(numbers, ENDS["S"]), "N": _either(numbers, STARTS["N"])},
    )
    for direction in ("E", "W"):
        starts = _either(numbers, STARTS[direction])
        found.follower[starts] = _either(numbers, ENDS[direction])
    for one, other in TWINS:
        both = masks[one] & masks[other] & (four[one] == four[other])
        found.twin[numbers[one][both]] = numbers[other][both]
        found.twin[numbers[other][both]] = numbers[one][both]
    return found


def link_vertical(x: Ints, y: Ints, upper: Numbers, lower: Numbers) -> Numbers:
    """Find where vertical edges of one direction end.

    Args:
        x: columns of all corners.
        y: their rows.
        upper: corners where edges begin, seen from above.
        lower: corners where they end.

    Returns:
        Per upper corner the lower one of its edge, or `NONE` where that lies in a later band.
    """
    every = np.concatenate([upper, lower])
    is_upper = np.arange(len(every)) < len(upper)
    # at one point the edge above ends before the one below begins
    key = (x[every].astype(np.int64) << 32) | (y[every].astype(np.int64) << 1) | is_upper
    order = np.argsort(key, kind="stable")
    begins = is_upper[order]
    pairs = np.flatnonzero(begins[:-1] & ~begins[1:]) if len(order) else np.zeros(0, np.int64)
    ends = np.full(len(upper), NONE, np.int64)
    ends[order[pairs]] = every[order[pairs + 1]]
    return ends


def _places() -> tuple[tuple[str, int, int], ...]:
    """The four pixels around a point: name, row and column from the upper left one."""
    return ("a", 0, 0), ("b", 0, 1), ("c", 1, 0), ("d", 1, 1)


def _turning(classes: Bytes) -> Mask:
    """Points around which pixels differ both across and down, `(n, w + 1)`."""
    across = classes[:, 1:] != classes[:, :-1]
    down = classes[1:] != classes[:-1]
    both: Mask = (across[1:] | across[:-1]) & (down[:, 1:] | down[:, :-1])
    return both


def _kinds(four: dict[str, Bytes]) -> dict[str, Mask]:
    """Tell of each point which corners lie there."""
    a, b, c, d = four["a"], four["b"], four["c"], four["d"]
    ab, ac, bd, cd = a == b, a == c, b == d, c == d
    return {
        "a": ~ab & ~ac & (a != NO_CLASS),
        "b": ~ab & ~bd & (b != NO_CLASS),
        "c": ~ac & ~cd & (c != NO_CLASS),
        "d": ~bd & ~cd & (d != NO_CLASS),
        "-a": bd & cd & ~ab & (d != NO_CLASS),
        "-b": ac & cd & ~ab & (c != NO_CLASS),
        "-c": ab & bd & ~ac & (d != NO_CLASS),
        "-d": ab & ac & ~bd & (c != NO_CLASS),
    }


def _either(numbers: dict[str, Numbers], kinds: tuple[str, str]) -> Numbers:
    """Corners of two kinds that never share a point, row-major."""
    merged = np.maximum(numbers[kinds[0]], numbers[kinds[1]])
    known: Numbers = merged[merged != NONE]
    return known
