"""A file that is hashed while it is written, so that it need not be read again."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO


class HashedFile:
    """Takes bytes from beginning to end; SHA-256 is computed on another core.

    Args:
        file: what the bytes are written to. What is handed over must not be changed afterwards.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        self._file, self._sha256 = file, hashlib.sha256()
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def __enter__(self) -> "HashedFile":
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the hash; the file stays open."""
        self._thread.shutdown()

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; waits until those before are hashed, so that few are in memory."""
        view = memoryview(data)
        if self._pending is not None:
            self._pending.result()
        self._pending = self._thread.submit(self._sha256.update, view)
        self._file.write(view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def hexdigest(self) -> str:
        """SHA-256 of all that was written."""
        if self._pending is not None:
            self._pending.result()
        return self._sha256.hexdigest()
