"""Cell after cell: those that are there are kept, one that fails does not stop the others."""

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from workflows.experiments.cells import CellStore, Document, Result
from workflows.progress import ProgressCallback, Update

log = logging.getLogger(__name__)

Tell = Callable[[float], None]
"""Takes the share of a cell that is done, 0 to 1."""


class Cell(Protocol):
    """What one result belongs to."""

    @property
    def name(self) -> str:
        """Of its files; no other cell has it."""

    @property
    def work(self) -> float:
        """How much it takes, in any unit that all cells share."""

    def document(self) -> Document:
        """Give JSON values."""


C = TypeVar("C", bound=Cell)


class Meter:
    """Tells how far the experiment is, by the work that cells take.

    Args:
        cells: all of them.
        progress: is told.
    """

    def __init__(self, cells: Sequence[Cell], progress: ProgressCallback) -> None:
        self._progress, self._started = progress, time.monotonic()
        self._total, self._work = len(cells), sum(cell.work for cell in cells)
        self._done = self._failed = 0
        self._finished = 0.0

    def inside(self, cell: Cell, share: float) -> None:
        """Tell of a cell that is at work."""
        done = (self._finished + share * cell.work) / max(self._work, 1e-9)
        elapsed = time.monotonic() - self._started
        self._progress(
            Update(
                self._total, self._done, self._failed, elapsed_s=elapsed, noun="cells", share=done
            )
        )

    def after(self, cell: Cell, *, failed: bool = False) -> None:
        """Tell of a cell that is finished."""
        self._done += 1
        self._failed += failed
        self._finished += cell.work
        self.inside(cell, 0.0)


def run_cells(
    cells: Sequence[C],
    store: CellStore,
    compute: Callable[[C, Tell], Result],
    progress: ProgressCallback,
) -> None:
    """Compute the cells that are not there yet; why one failed is written down."""
    meter = Meter(cells, progress)
    todo = []
    for cell in cells:
        if store.read(cell.name) is None:
            todo.append(cell)
        else:
            meter.after(cell)
    for cell in todo:
        failed = not _compute(cell, store, compute, meter)
        meter.after(cell, failed=failed)


def _compute(cell: C, store: CellStore, compute: Callable[[C, Tell], Result], meter: Meter) -> bool:
    started = time.monotonic()
    meter.inside(cell, 0.0)
    try:
        result = compute(cell, lambda share: meter.inside(cell, share))
    except Exception as err:  # noqa: BLE001 - the border of a job: the traceback is kept
        log.warning("%s failed: %s", cell.name, err)
        told = {"error": f"{err}", "kind": type(err).__name__, "traceback": traceback.format_exc()}
        store.fail(cell.name, {"name": cell.name, **cell.document(), **told})
        return False
    about = {"name": cell.name, **cell.document()}
    about["seconds"] = round(time.monotonic() - started, 3)
    store.write(cell.name, Result(about | result.document, result.arrays))
    return True
