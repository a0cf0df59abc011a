"""Some patches to be looked at: of every class some, drawn by seed, whatever the batches."""

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """One patch.

    Attributes:
        name: slide and number.
        pixels: (H, W, 3).
        truth: class of each pixel, (H, W).
        masks: by way, the predicted ones, (H, W).
    """

    name: str
    pixels: Pixels
    truth: Pixels
    masks: Mapping[str, Pixels]

    def copy(self) -> "Shown":
        """Let go of the batch that its arrays are part of."""
        masks = {way: mask.copy() for way, mask in self.masks.items()}
        return Shown(self.name, self.pixels.copy(), self.truth.copy(), masks)


class Gallery:
    """Keeps, for each class that most of a patch is of, the patches of the lowest draws.

    Args:
        wanted: patches at the end; at most so many per class are held.
        classes: number of classes; patches without any are never shown.
        seed: of the draws.
    """

    def __init__(self, wanted: int, classes: int, seed: int) -> None:
        self._wanted, self._classes = wanted, classes
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._kept: list[list[tuple[float, str, Shown]]] = [[] for _ in range(classes)]

    def draw(self, count: int) -> NDArray[np.float64]:
        """Draw a number for each of the next `count` patches, (count,)."""
        return self._generator.random(count)

    def offer(self, draw: float, patch: Shown) -> None:
        """Keep a patch if its number is low."""
        counts = np.bincount(patch.truth.ravel(), minlength=self._classes)[: self._classes]
        if not counts.any() or not self._wanted:
            return
        kept = self._kept[int(counts.argmax())]
        if len(kept) < self._wanted or draw < kept[-1][0]:
            insort(kept, (draw, patch.name, patch.copy()), key=lambda one: one[:2])
            del kept[self._wanted :]

    def chosen(self) -> list[Shown]:
        """Give the patches, class after class in turn."""
        turns: Iterator[Shown] = (
            members[turn][2]
            for turn in range(self._wanted)
            for members in self._kept
            if turn < len(members)
        )
        return list(islice(turns, self._wanted))
