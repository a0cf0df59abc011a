"""Patches of one slide in batches, read and decoded ahead by threads while a network works."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import torch
from torch import Tensor

from tiling.reader import PatchReader
from tiling.store import PatchStore

AHEAD_BYTES = 512 << 20
"""Pixels that wait at most; two batches always may."""


class BatchSource:
    """Batches of consecutive patches.

    Each of `threads` decodes whole batches with a reader of its own; decoders of JPEG let go of
    the interpreter's lock, so that threads add up.

    Args:
        store: the slide.
        threads: number of decoders.
        pinned: give page-locked memory, from which a GPU copies while it computes.
    """

    def __init__(self, store: PatchStore, *, threads: int = 1, pinned: bool = False) -> None:
        self._threads, self._pinned = max(1, threads), pinned
        self._readers: SimpleQueue[PatchReader] = SimpleQueue()
        for _ in range(self._threads):
            self._readers.put(PatchReader(store))
        document = store.document("patches")
        self.patch_shape = tuple(int(length) for length in document["shape"][1:])

    def batches(self, rows: range, size: int) -> Iterator[Tensor]:
        """Give uint8 (B, P, P, 3), B = `size` but for the last, in the order of the rows.

        Raises:
            StoreError: the archive cannot be read.
            CorruptStoreError: a patch is not what was written.
        """
        height, width, channels = self.patch_shape
        batch_bytes = size * height * width * channels
        ahead = min(self._threads + 1, max(2, AHEAD_BYTES // batch_bytes))
        waiting: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(self._threads, "decoder") as pool:
            try:
                for start in range(rows.start, rows.stop, size):
                    part = range(start, min(start + size, rows.stop))
                    waiting.append(pool.submit(self._read, part))
                    if len(waiting) > ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Let go of files."""
        while not self._readers.empty():
            self._readers.get().close()

    def _read(self, part: range) -> Tensor:
        pixels = torch.empty(
            (len(part), *self.patch_shape), dtype=torch.uint8, pin_memory=self._pinned
        )
        reader = self._readers.get()
        try:
            reader.read(part, pixels.numpy())
        finally:
            self._readers.put(reader)
        return pixels
