"""Small works side by side on a CPU."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """Give `work(item)` of every item in order; on a CPU in as many threads as torch would use.

    Operations on little data are too short to share out: torch's own threads gain little there, and
    less yet on a busy machine; whole works side by side do.
    """
    items, threads = list(items), torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(items) == 1:
        yield from map(work, items)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, items)
    finally:
        torch.set_num_threads(threads)  # a thread that sets its own sets that of new threads too
