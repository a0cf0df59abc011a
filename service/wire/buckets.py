"""Token buckets: so many requests at once, and then so many in a minute."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_BUCKETS = 20_000
"""Callers that are remembered; the one that was quiet for longest is forgotten first."""


class Buckets:
    """One bucket per caller; for one thread.

    Args:
        per_minute: requests that flow into a bucket in a minute, and that it holds.
        clock: seconds that only grow.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._holds = float(per_minute)
        self._per_s = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Count the callers that are remembered."""
        return len(self._buckets)

    def take(self, caller: str) -> int:
        """Take one request; gives 0, or the seconds after which there is one again."""
        at = self._clock()
        left, last = self._buckets.get(caller, (self._holds, at))
        left = min(self._holds, left + (at - last) * self._per_s)
        wait_s = 0 if left >= 1 else math.ceil((1 - left) / self._per_s)
        self._buckets[caller] = (left if wait_s else left - 1, at)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return wait_s
