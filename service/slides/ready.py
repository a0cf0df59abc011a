"""Ready answers in a bounded memory, and work that is done once however many ask for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from service.errors import BusyError

Value = TypeVar("Value")
OVERHEAD_BYTES = 400
"""What keeping an entry costs beside its bytes."""


class ReadyCache(Generic[Value]):
    """Keeps what was used last, up to so many bytes; safe to share between threads.

    Args:
        capacity_bytes: of all values together.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable) -> Value | None:
        """Give the value, None where it is not kept."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value of so many bytes."""
        size += OVERHEAD_BYTES
        with self._lock:
            if (old := self._entries.pop(key, None)) is not None:
                self.bytes -= old[1]
            if size > self._capacity:
                return
            self._entries[key] = (value, size)
            self.bytes += size
            while self.bytes > self._capacity:
                self.bytes -= self._entries.popitem(last=False)[1][1]


class OneAtATime:
    """Runs work on a few threads; who asks for what is on its way shares the result.

    Args:
        threads: how many work.
        most_waiting: more pieces of work than this are refused.
    """

    def __init__(self, threads: int, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._pending: dict[Hashable, Future[Any]] = {}
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="slides")

    def submit(self, key: Hashable, work: Callable[[], Value]) -> "Future[Value]":
        """Start work, or join what was started under the same key.

        Raises:
            BusyError: too much is waiting.
        """
        with self._lock:
            found = self._pending.get(key)
            if found is not None:
                return found
            if len(self._pending) >= self._most_waiting:
                raise BusyError("too many tiles are asked for at once", retry_after_s=1)
            future = self._executor.submit(work)
            self._pending[key] = future
        future.add_done_callback(lambda _: self._done(key))
        return future

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _done(self, key: Hashable) -> None:
        with self._lock:
            self._pending.pop(key, None)
