"""How far a workflow is: one value type, one callback, and its three displays."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from workflows.units import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

LINE_EVERY_S = 5.0
"""Pause between two lines where the output is no terminal."""
WINDOW_S = 20.0
"""Span over which rates are averaged: long enough to be calm, short enough to be now."""


@dataclass(frozen=True, slots=True)
class Update:
    """The state of a workflow at one moment.

    Attributes:
        slides_total, slides_done, slides_failed: slides; done includes skipped and failed ones.
        patches_total: patches of the slides that are planned so far; 0 where none are counted.
        patches_done: patches written or checked.
        bytes_done: bytes written or checked.
        elapsed_s: seconds since the start.
        noun: what `slides_total` counts, where it is something else.
        share: of the work that is done, 0 to 1, where counts do not tell.
    """

    slides_total: int
    slides_done: int = 0
    slides_failed: int = 0
    patches_total: int = 0
    patches_done: int = 0
    bytes_done: int = 0
    elapsed_s: float = 0.0
    noun: str = "slides"
    share: float | None = None


ProgressCallback = Callable[[Update], None]


def ignore(update: Update) -> None:
    """Show nothing."""


@dataclass
class Rates:
    """Patches/s and bytes/s over the last seconds, and what they say about the time left."""

    seen: deque[tuple[float, int, int, float]] = field(default_factory=deque)

    def add(self, update: Update) -> None:
        """Take note of an update; an earlier clock is that of a new piece of work."""
        work = share_done(update)
        if self.seen and update.elapsed_s < self.seen[-1][0]:
            self.seen.clear()
        self.seen.append((update.elapsed_s, update.patches_done, update.bytes_done, work))
        while len(self.seen) > 2 and self.seen[-1][0] - self.seen[0][0] > WINDOW_S:
            self.seen.popleft()

    @property
    def patches_per_s(self) -> float:
        """Recent patches per second."""
        return self._rate(1)

    @property
    def bytes_per_s(self) -> float:
        """Recent bytes per second."""
        return self._rate(2)

    def left_s(self) -> float | None:
        """Seconds left; None before anything is known."""
        rate = self._rate(3)
        return (1 - self.seen[-1][3]) / rate if rate > 0 else None

    def _rate(self, column: int) -> float:
        if not self.seen:
            return 0.0
        first = self.seen[0] if len(self.seen) > 1 else (0.0, 0, 0, 0.0)
        last = self.seen[-1]
        seconds = last[0] - first[0]
        return (last[column] - first[column]) / seconds if seconds > 0 else 0.0


def share_done(update: Update) -> float:
    """Share of the work that is done, 0 to 1: whole slides, and what is known of open ones."""
    if update.share is not None:
        return update.share
    total = max(update.slides_total, 1)
    slides = update.slides_done / total
    if not update.patches_total:
        return slides
    # slides that are not planned yet are taken to be like the planned ones
    return min(1.0, max(slides, update.patches_done / update.patches_total * _planned(update)))


def _planned(update: Update) -> float:
    return max(update.slides_done, 1) / max(update.slides_total, 1)


def describe(update: Update, rates: Rates) -> str:
    """Put an update into one line."""
    return ", ".join([*_slides(update), *_patches(update, rates), *_left(update, rates)])


def _slides(update: Update) -> list[str]:
    told = [f"{update.slides_done:,}/{update.slides_total:,} {update.noun}"]
    return [*told, f"{update.slides_failed:,} failed"] if update.slides_failed else told


def _patches(update: Update, rates: Rates) -> list[str]:
    if not update.patches_total:
        return []
    return [
        f"{update.patches_done:,}/{update.patches_total:,} patches",
        f"{rates.patches_per_s:,.0f} patches/s",
        f"{rates.bytes_per_s / 1e6:,.1f} MB/s",
    ]


def _left(update: Update, rates: Rates) -> list[str]:
    left = rates.left_s()
    if left is None or update.slides_done >= update.slides_total:
        return []
    return [f"{duration(left)} left"]


Display = Literal["live", "lines", "none"]


def choose_display(*, quiet: bool) -> Display:
    """Live on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        return "none"
    return "live" if sys.stderr.isatty() else "lines"


@contextmanager
def shown(display: Display) -> Iterator[ProgressCallback]:
    """Show updates on stderr while the block runs."""
    if display == "none":
        yield ignore
    elif display == "lines":
        yield _Lines()
    else:
        with _live() as callback:
            yield callback


class _Lines:
    def __init__(self) -> None:
        self._rates = Rates()
        self._last = time.monotonic()

    def __call__(self, update: Update) -> None:
        self._rates.add(update)
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            sys.stderr.write(describe(update, self._rates) + "\n")
            sys.stderr.flush()


@contextmanager
def _live() -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.live import Live

    rates = Rates()
    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:

        def show(update: Update) -> None:
            rates.add(update)
            live.update(_bar(update, rates))

        yield show


def _bar(update: Update, rates: Rates) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    lines = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=1.0, completed=share_done(update), width=30)
    lines.add_row(bar, ", ".join([*_slides(update), *_left(update, rates)]))
    if update.patches_total:
        lines.add_row("", ", ".join(_patches(update, rates)))
    return lines
