"""In which order and in what portions a batch is worked through."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from models.augment.hue import HueShift
from models.augment.params import HUE, Ints, ViewParams

CPU_BYTES = 5_000_000
"""Of the pictures of a portion: a few of these fit the caches of a core, and a core has one."""

GPU_BYTES = 256 * 2**20
"""Of the pictures of a portion; about five times as much is in use."""

UNTOUCHED = 4
"""In place of the hue's position where colours are not jittered."""


@dataclass(frozen=True, slots=True)
class Portions:
    """A batch in the order in which it is worked on.

    All rows of a portion shift the hue at the same time; those that do the same in the same order
    are neighbours, as a small portion of them has less to do. Within a portion those whose hues are
    shifted in the same way come together.

    Attributes:
        order: numbers of the rows, each once, `(N,)`.
        parts: of the order, one after the other.
    """

    order: Ints
    parts: tuple[slice, ...]

    @classmethod
    def of(cls, params: ViewParams, side_px: int, device: torch.device) -> "Portions":
        """Order and divide a view."""
        position = hue_position(params)
        order = np.lexsort((params.sigma, *params.order.T, position)).astype(np.int64)
        edges = np.flatnonzero(np.diff(position[order], prepend=-1, append=-1)).tolist()
        most = _portion(side_px, device)
        parts = [
            slice(start, min(start + most, stop))
            for first, stop in pairwise(edges)
            for start in range(first, stop, most)
        ]
        kind = HueShift.of(params.factors[:, HUE], torch.device("cpu")).kind
        for part in parts:
            order[part] = order[part][np.argsort(kind[order[part]], kind="stable")]
        return cls(order, tuple(parts))

    @property
    def places(self) -> Ints:
        """The place of each row of the order in its portion, (N,)."""
        places = [np.arange(part.stop - part.start) for part in self.parts]
        return np.concatenate([np.zeros(0, np.int64), *places])


def hue_position(params: ViewParams) -> Ints:
    """Give when the hue is shifted: after 0 to 3 other operations, or UNTOUCHED, (N,)."""
    return np.where(params.jittered, (params.order == HUE).argmax(1), UNTOUCHED)


def _portion(side_px: int, device: torch.device) -> int:
    most = CPU_BYTES if device.type == "cpu" else GPU_BYTES
    return max(1, most // (12 * side_px**2))
