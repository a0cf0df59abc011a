"""What `test_ranks` does in each of two processes, and alone: two steps of every method."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models import dist
from models.ssl.table import METHODS
from models.training.method import Method, Views
from tests.models.ssl.tiny import CLOCK, encoder, gradients, part, settings, views

PATCHES = 8
SLIDES = [0, 1, 0, 1, 2, 2, 0, 2]
LABELS = [0, -1, -1, 1, 1, 0, 1, 0]
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "simclr": ("simclr", 1, {}),
    "mocov3": ("mocov3", 1, {}),
    "mocov3 in micro-batches": ("mocov3", 2, {}),
    "mocov3 with a queue": ("mocov3", 2, {"queue": 10}),
    "srcl": ("srcl", 1, {"positives": 2}),
    "srcl on the slide in micro-batches": ("srcl", 2, {"positives": 2, "pool": "same_slide"}),
    "nsam": ("nsam", 1, {"positives": 2}),
    "nsam by slide": ("nsam", 2, {"rule": "same_slide"}),
    "ds": ("ds", 1, {"ds_mode": "threshold", "ds_threshold": 0.2}),
    "rotnet": ("rotnet", 2, {}),
    "supervised": ("supervised", 2, {}),
}
NUMBER_OF_VIEWS = {"rotnet": 4, "supervised": 1}


def work(rank: int) -> dict[str, Any]:
    del rank
    return {name: steps(name) for name in CASES}


def steps(name: str) -> dict[str, Any]:
    """Give losses, and gradients of parameters, of two steps; a mean over this rank's parts."""
    kind, parts, changes = CASES[name]
    given = settings(temperature=0.3, momentum=0.5, **changes)
    method = METHODS[kind].make(encoder(), given, classes=2, seed=1).eval()
    model: nn.Module = DistributedDataParallel(method) if dist.world_size() > 1 else method
    losses: list[Tensor] = []
    for seed in (0, 1):
        number = NUMBER_OF_VIEWS.get(kind, 2)
        whole = views(PATCHES, seed, number=number, slides=SLIDES, labels=LABELS)
        losses.append(_step(method, model, list(_micro(whole, parts))))
    return {"losses": losses, "gradients": gradients(method)}


def _micro(whole: Views, parts: int) -> Iterator[Views]:
    """Give this rank's micro-batches: all rows of rank 0 come before those of rank 1."""
    size = PATCHES // dist.world_size() // parts
    start = dist.rank() * size * parts
    for number in range(parts):
        first = start + number * size
        yield part(whole, slice(first, first + size))


def _step(method: Method, model: nn.Module, micro: list[Views]) -> Tensor:
    prepared = method.begin_step(micro, CLOCK)
    losses = [model(one, prepared, i, CLOCK).loss / len(micro) for i, one in enumerate(micro)]
    torch.stack(losses).sum().backward()
    method.end_step(prepared, CLOCK)
    return torch.stack(losses).sum().detach()
