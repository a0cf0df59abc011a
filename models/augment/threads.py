"""Portions of a batch, worked on side by side on a CPU."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch


def each_part(work: Callable[[slice], None], parts: Iterable[slice], device: torch.device) -> None:
    """Call `work` for every part; on a CPU in as many threads as torch would use.

    Operations on a portion are too short to share out: torch's own threads gain little here, and
    less yet on a busy machine; whole portions side by side do.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        for part in parts:
            work(part)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in pool.map(torch.no_grad()(work), parts):
                pass
    finally:
        torch.set_num_threads(threads)  # a thread that sets its own sets that of new threads too
