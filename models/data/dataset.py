"""The patches of an archive as a torch data set that is read in batches."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Dataset, get_worker_info

from models.data.batch import Batch
from models.data.readers import ReaderPool
from models.data.slides import SlideInfo, read_contents
from tiling.encoding import AnyPixels, Encoding, decode_patch
from tiling.store import Archive

TASK_PATCHES = 8
"""Patches that a thread decodes at a time: some milliseconds, far more than handing them over."""

MOST_THREADS = 16

Job = tuple[AnyPixels, bytes, Encoding]


class PatchDataset(Dataset[Batch]):
    """Patches of slides, in batches.

    Slides are numbered in the order of their IDs, and patches slide after slide, so that samplers
    of `tiling.sampling` give the same order in every run: hand them `slide_of` and `labels`.

    In a worker process of a `DataLoader` (forked or spawned) it decodes in that process; elsewhere
    threads do, which adds up since the decoders let go of the interpreter's lock. Pickles, and
    opens its files anew in another process.

    Args:
        archive_location: path or URL.
        slide_ids: which slides; all by default.
        unreadable: also give patches that could not be read and are white (status 2).
        labels: read labels; without, slides whose labels differ in meaning go together.
        threads: that decode outside of workers; by default one per core.

    Raises:
        DataError: slides do not fit together: patch sizes, types or the meaning of labels.
        StoreError: there is no archive, or no such slide.
    """

    def __init__(
        self,
        archive_location: str,
        slide_ids: Sequence[str] | None = None,
        *,
        unreadable: bool = False,
        labels: bool = True,
        threads: int | None = None,
    ) -> None:
        archive = Archive.open(archive_location)
        self._contents = read_contents(archive, slide_ids, unreadable=unreadable, labels=labels)
        self._archive = archive
        self._threads = threads or min(MOST_THREADS, _cores())
        self._process: _Process | None = None

    def __len__(self) -> int:
        """Number of patches."""
        return len(self._contents.slide_of)

    @property
    def slides(self) -> tuple[SlideInfo, ...]:
        """The slides, by ID."""
        return self._contents.slides

    @property
    def slide_of(self) -> NDArray[np.int64]:
        """Position in `slides` of each patch, `(N,)`."""
        return self._contents.slide_of

    @property
    def patch_of(self) -> NDArray[np.int64]:
        """Number in its slide of each patch, `(N,)`."""
        return self._contents.patch_of

    @property
    def coords(self) -> NDArray[np.int32]:
        """Top-left corners as x, y in level-0 pixels, `(N, 2)`."""
        return self._contents.coords

    @property
    def labels(self) -> NDArray[np.integer] | None:
        """Class indices `(N,)`, or 1 and 0 per class `(N, C)`; -1 is unknown."""
        known = self._contents.labels
        return None if known is None else known.values

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes; none where there are no labels."""
        known = self._contents.labels
        return () if known is None else known.names

    @property
    def partition(self) -> NDArray[np.int16] | None:
        """Ordered class of each patch's position, `(N,)`."""
        return self._contents.partition

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of every patch, `(H, W, C)`."""
        return self._contents.patch_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._contents.dtype

    def __getitem__(self, index: int) -> Batch:
        """Give a batch of one patch."""
        return self.__getitems__([index])

    def __getitems__(self, indices: ArrayLike) -> Batch:
        """Give a batch in the order of `indices`, `(B,)`; torch's loader calls this.

        Patches are read slide by slide and shard by shard, whatever the order.

        Raises:
            IndexError: there is no such patch.
            CorruptStoreError: a patch is not what was written.
        """
        wanted = self._checked(indices)
        known = self._contents
        pixels = _new_tensor((len(wanted), *known.patch_shape), known.dtype)
        process = self._here()
        process.decode(self._fetch(wanted, pixels.numpy(), process.readers))
        labels, partition = self.labels, known.partition
        return Batch(
            pixels=pixels,
            slide=torch.from_numpy(known.slide_of[wanted]),
            coords=torch.from_numpy(known.coords[wanted]),
            labels=None if labels is None else _label_tensor(labels[wanted]),
            partition=None if partition is None else _label_tensor(partition[wanted]),
            index=torch.from_numpy(wanted),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files and threads behind."""
        return self.__dict__ | {"_process": None}

    def close(self) -> None:
        """Let go of files and threads; reading opens them again."""
        if self._process is not None and self._process.pid == os.getpid():
            self._process.close()
        self._process = None

    def _checked(self, indices: ArrayLike) -> NDArray[np.int64]:
        wanted = np.asarray(indices, np.int64).reshape(-1)
        count = len(self)
        if len(wanted) and not -count <= wanted.min() <= wanted.max() < count:
            worst = wanted.min() if wanted.min() < -count else wanted.max()
            raise IndexError(f"no patch {worst}: the data set has {count}")
        return np.where(wanted < 0, wanted + count, wanted)

    def _here(self) -> "_Process":
        """Give this process's files and threads; those of a parent that forked are not ours."""
        if self._process is None or self._process.pid != os.getpid():
            in_worker = get_worker_info() is not None
            readers = ReaderPool(self._archive, [slide.slide_id for slide in self.slides])
            self._process = _Process(readers, 1 if in_worker else self._threads)
        return self._process

    def _fetch(
        self, wanted: NDArray[np.int64], pixels: AnyPixels, readers: ReaderPool
    ) -> list[Job]:
        """Fetch the stored bytes of patches, each with the place where it is decoded to."""
        slide_of, patch_of = self._contents.slide_of[wanted], self._contents.patch_of[wanted]
        order = np.lexsort((patch_of, slide_of))
        edges = np.flatnonzero(np.diff(slide_of[order])) + 1
        jobs: list[Job] = []
        for places in np.split(order, edges):
            if len(places):
                slide = int(slide_of[places[0]])
                stored, encoding = readers.encoded(slide, patch_of[places])
                jobs += [
                    (pixels[place], data, encoding)
                    for place, data in zip(places.tolist(), stored, strict=True)
                ]
        return jobs


class _Process:
    """What one process holds open."""

    def __init__(self, readers: ReaderPool, threads: int) -> None:
        self.pid = os.getpid()
        self.readers = readers
        self._pool = ThreadPoolExecutor(threads, "decode") if threads > 1 else None

    def decode(self, jobs: list[Job]) -> None:
        """Decode every patch into its place."""
        if self._pool is None:
            _decode(jobs)
            return
        parts = [jobs[i : i + TASK_PATCHES] for i in range(0, len(jobs), TASK_PATCHES)]
        for _ in self._pool.map(_decode, parts):
            pass

    def close(self) -> None:
        """Let go of all."""
        self.readers.close()
        if self._pool is not None:
            self._pool.shutdown()


def _new_tensor(shape: tuple[int, ...], dtype: np.dtype[Any]) -> torch.Tensor:
    """Make a tensor; in a worker in shared memory, so that it is handed over without a copy."""
    if get_worker_info() is None:
        return torch.from_numpy(np.empty(shape, dtype))
    like = torch.from_numpy(np.empty(0, dtype))
    size = prod(shape) * dtype.itemsize
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]  # as torch's own collate function does
    shared: torch.Tensor = like.set_(storage, 0, shape)  # type: ignore[call-overload]  # takes untyped ones too
    return shared


def _decode(jobs: list[Job]) -> None:
    for place, data, encoding in jobs:
        decode_patch(data, encoding, place)


def _label_tensor(values: NDArray[np.integer]) -> torch.Tensor:
    """Give class indices as int64, which losses and indexing take; several labels stay int8."""
    return torch.from_numpy(values if values.ndim > 1 else values.astype(np.int64))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
