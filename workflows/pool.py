"""Processes for work that needs no Dask: one function over many items, results as they come."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from workflows.errors import WorkflowError

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """Give the results of `function` in the order in which they are ready.

    With one worker everything happens in this process.

    Raises:
        WorkflowError: a process died, by a damaged slide or for want of memory.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    # Ctrl-C ends the workers at once, without a word; this process tells
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_DFL)
    )
    try:
        for done in as_completed([pool.submit(function, item) for item in items]):
            yield done.result()
    except BrokenProcessPool as err:
        raise WorkflowError(
            "a worker process died, by a damaged slide or for want of memory; "
            "try again with --workers 1"
        ) from err
    finally:
        pool.shutdown(cancel_futures=True)
