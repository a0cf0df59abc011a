"""A bounded number of open slides, so that an archive of thousands needs few file descriptors."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiling.encoding import Encoding
from tiling.reader import PatchReader
from tiling.store import Archive

OPEN_FILES = 256
"""Shards that stay mapped; each costs a descriptor, of which systems give 1,024 by default."""

OPEN_READERS = 1024
"""Slides whose metadata is kept; about 20 kB each."""


class ReaderPool:
    """Gives the stored bytes of patches; thread-safe.

    Args:
        archive: where the slides are.
        slide_ids: of all slides that are read.
        array: that is read, one that lies beside the patches even.
    """

    def __init__(self, archive: Archive, slide_ids: Sequence[str], array: str = "patches") -> None:
        self._archive, self._slide_ids, self._array = archive, slide_ids, array
        self._open: OrderedDict[int, PatchReader] = OrderedDict()
        self._lock = threading.Lock()

    def encoded(self, slide: int, patches: NDArray[np.int64]) -> tuple[list[bytes], Encoding]:
        """Give the bytes of patches of one slide, and how they are encoded.

        Raises:
            StoreError: the archive cannot be read.
            CorruptStoreError: a shard is not what was written.
        """
        with self._lock:
            reader = self._reader(slide)
            data = list(reader.encoded_many(patches))
            self._trim(slide)
            return data, reader.encoding

    @property
    def open_files(self) -> int:
        """Shards that are mapped now."""
        return sum(reader.open_files for reader in self._open.values())

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _reader(self, slide: int) -> PatchReader:
        reader = self._open.get(slide)
        if reader is None:
            reader = PatchReader(self._archive[self._slide_ids[slide]], self._array)
        self._open[slide] = reader
        self._open.move_to_end(slide)
        return reader

    def _trim(self, current: int) -> None:
        """Unmap the slides that were not read for longest."""
        while len(self._open) > OPEN_READERS:
            self._open.popitem(last=False)[1].close()
        mapped = self.open_files
        for slide, reader in self._open.items():
            if mapped <= OPEN_FILES or slide == current:
                return
            mapped -= reader.open_files
            reader.close()
