"""Run a function in two real processes that form a group (gloo), and give what each found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

RANKS = 2

Work = Callable[[int], dict[str, Any]]


def in_two_ranks(work: Work, folder: Path) -> list[dict[str, Any]]:
    """Call `work(rank)`, a function of a module, in each; gives both results, tensors and all."""
    multiprocessing.spawn(_enter, (work, str(folder)), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


def _enter(rank: int, work: Work, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS
    )
    try:
        torch.save(work(rank), f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()
