"""Batches ahead of whoever computes with them: by a thread, or by worker processes."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import DataLoader, Dataset

from models.data.batch import Batch

Indices = NDArray[np.int64]
Start = Literal["fork", "spawn", "forkserver"]


class Readable(Protocol):
    """A data set that is read in batches."""

    def __getitems__(self, indices: ArrayLike) -> Batch:
        """Give a batch in the order of `indices`."""


def iterate_batches(
    dataset: Readable,
    order: ArrayLike | Iterator[Indices],
    *,
    batch_size: int | None = None,
    workers: int = 0,
    start: Start = "spawn",
    ahead: int = 2,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Give batches in an order, prepared ahead.

    Args:
        dataset: the patches.
        order: indices `(M,)`, cut into batches (the last may be smaller), or whole batches
            `(B, size)`, as samplers give them, or an iterator of those, which is asked as it goes.
        batch_size: needed for indices.
        workers: processes that read and decode; without any a thread does, and the data set's own
            threads decode.
        start: how workers are started; a fork of a process with threads or a GPU may hang.
        ahead: batches that wait, per worker.
        pin_memory: give page-locked memory, from which a GPU copies while it computes.
    """
    batches = order if isinstance(order, Iterator) else _batches(order, batch_size)
    if workers == 0:
        return _by_thread(dataset, batches, ahead, pin_memory=pin_memory)
    loader: DataLoader[Batch] = DataLoader(
        cast("Dataset[Batch]", dataset),
        batch_sampler=_Lists(batches),
        collate_fn=as_it_is,
        num_workers=workers,
        multiprocessing_context=start,
        prefetch_factor=ahead,
        pin_memory=pin_memory,
    )
    return iter(loader)


def as_it_is(batch: Any) -> Batch:
    """Collate nothing: a data set that is read in batches gives batches."""
    given: Batch = batch
    return given


class _Lists:
    """Batches as lists of numbers, which torch's loader wants."""

    def __init__(self, batches: Iterable[Indices]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self._batches)


def _batches(given: ArrayLike, size: int | None) -> Sequence[Indices]:
    order = np.asarray(given, np.int64)
    if order.ndim == 2:
        return list(order)
    if size is None or size < 1:
        raise ValueError(f"batch_size must be positive where the order is of indices, got {size}")
    return [order[i : i + size] for i in range(0, len(order), size)]


def _by_thread(
    dataset: Readable,
    batches: Iterable[Indices],
    ahead: int,
    *,
    pin_memory: bool,
) -> Iterator[Batch]:
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, "read") as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(dataset.__getitems__, batch))
                if len(waiting) > ahead:
                    yield _pinned(waiting.popleft().result(), pin_memory=pin_memory)
            while waiting:
                yield _pinned(waiting.popleft().result(), pin_memory=pin_memory)
        finally:
            pool.shutdown(cancel_futures=True)


def _pinned(batch: Batch, *, pin_memory: bool) -> Batch:
    return batch.pin_memory() if pin_memory else batch
