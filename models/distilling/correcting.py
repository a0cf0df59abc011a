"""Correction passes: the whole labelled set once, every so many steps (METHODS 8.4)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from models.data import Batch
from models.training.feed import Feed
from models.training.method import Views


@dataclass
class Correction:
    """Gives the steps of a pass before every `every`-th step of the run, the first one included.

    Attributes:
        feed: of the labelled patches; each pass is an epoch of it.
        every: K, steps of the run from one pass to the next.
        run_steps: of the whole run.
    """

    name: ClassVar[str] = "correction"

    feed: Feed
    every: int
    run_steps: int
    _ahead: Iterator[Batch] | None = field(default=None, init=False)

    @property
    def passes(self) -> int:
        """How many there are."""
        return -(-self.run_steps // self.every)

    def steps(self, step: int) -> Iterator[list[Views]]:
        """Give the micro-batches of each step of the pass before a step of the run."""
        if step % self.every:
            return
        length = self.feed.sampling.steps_per_epoch
        first = step // self.every * length
        if self._ahead is None:  # one reader for all passes: its processes take long to start
            self._ahead = self.feed.batches(first, self.passes * length)
        for place in range(first, first + length):
            yield self.feed.views(next(self._ahead), place)
