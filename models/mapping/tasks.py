"""What workers do: map one slide.

The coordinator imports this module, too, so that torch is imported by the tasks only.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.embedding.tasks import TELL_S, sender
from models.embedding.worker import ONE_AT_A_TIME
from models.mapping.planning import SlideMapPlan, open_recorded, plan_slide_map
from models.mapping.request import MapEngine, MapRequest
from models.mapping.worker import forward_of, readers_of, share_cores
from tiling.errors import DamagedSlideError
from tiling.lease import require_owner
from tiling.maps import SlideMap
from tiling.mapwriter import MapWriter
from tiling.storage import Storage
from tiling.store import PatchStore

if TYPE_CHECKING:
    from models.mapping.forward import MapForward
    from models.mapping.reading import WindowSource

UNREADABLE_SHARE = 0.1
"""Share of a slide's windows that may be unreadable before it fails, as `tile` has it."""
WRITING = 2
"""Batches that wait for being stitched and written, at most."""

Found = tuple[range, NDArray[np.uint16]]


@dataclass(frozen=True)
class MapTask:
    """One slide's map.

    Attributes:
        storage: where the archive lies.
        slide_id: whose map it is.
        request: what is asked for.
        lease: under which the run holds the map, and the run's token.
        topic: of messages about progress.
    """

    storage: Storage
    slide_id: str
    request: MapRequest
    lease: tuple[str, str]
    topic: str


@dataclass(frozen=True)
class MapResult:
    """What came of a slide.

    Attributes:
        windows: that the map has, and of these those computed now.
        computed: these.
        unreadable: of these, those that could not be read.
        bytes: of the map.
        seconds: for reading, computing and writing.
        loading_s: for opening the models; 0 where the process had them already.
        batch: windows at a time, at the end.
        process: host and number of the process.
    """

    windows: int
    computed: int
    unreadable: int
    bytes: int
    seconds: float
    loading_s: float
    batch: int
    process: str


def map_slide(engine: MapEngine, task: MapTask) -> MapResult:
    """Map one slide, or go on with what an earlier run left.

    Raises:
        WeightsError: this worker's models are not those of the run.
        NumericsError: a network gave NaN or infinity.
        PlanError: the slide cannot be mapped as asked.
        ConflictError: another map of this name is there.
        LeaseError: another run has taken the map over.
        DamagedSlideError: too many windows are unreadable.
        StoreError: the slide is not where it was, or the archive cannot be written.
    """
    with ONE_AT_A_TIME:
        started = time.perf_counter()
        share_cores(engine)
        forward, loading_s = forward_of(engine, task.request)
        store = PatchStore(task.storage, task.slide_id)
        with open_recorded(store) as slide:
            plan = plan_slide_map(store, slide, task.request)
            require_owner(task.storage, *task.lease)
            name, overwrite = task.request.name, task.request.overwrite
            writer = MapWriter(store, name, plan.map, overwrite=overwrite)
            source = _source(engine, forward, slide, plan)
            computed = _fill(forward, source, writer, task)
        require_owner(task.storage, *task.lease)
        writer.finish()
        return MapResult(
            windows=len(plan.windows),
            computed=computed,
            unreadable=source.unreadable,
            bytes=_size(store, name),
            seconds=time.perf_counter() - started - loading_s,
            loading_s=loading_s,
            batch=forward.batch,
            process=f"{os.uname().nodename}:{os.getpid()}",
        )


def _source(
    engine: MapEngine, forward: "MapForward", slide: Any, plan: SlideMapPlan
) -> "WindowSource":
    from models.mapping.reading import WindowSource

    threads, pinned = readers_of(engine, forward.device), forward.device.type == "cuda"
    return WindowSource(slide, plan, threads, pinned)


def _fill(forward: "MapForward", source: "WindowSource", writer: MapWriter, task: MapTask) -> int:
    """Compute the windows that the map lacks; gives how many were computed."""
    kept, todo = source.plan.windows, writer.todo
    missing = len(todo)
    tell = _Teller(task, len(kept))
    tell(len(kept) - missing)
    if not missing:
        return 0
    first = int(np.searchsorted(kept, todo[0]))
    # a run that goes on computes the very batches of one that was not interrupted
    parts = _parts(first // forward.batch * forward.batch, len(kept), forward.batch)
    wanted = set(todo)

    def write(found: Found) -> None:
        require_owner(task.storage, *task.lease)
        part, probabilities = found
        for window, values in zip(
            kept[part.start : part.stop].tolist(), probabilities, strict=True
        ):
            if window in wanted:
                writer.add(window, values)
        tell(part.stop)

    with closing(source.batches(parts)) as batches:
        for found in _behind(forward.run(batches), write):
            _require_readable(source, found[0].stop - parts[0].start)
    return missing


def _parts(first: int, last: int, size: int) -> list[range]:
    return [range(start, min(start + size, last)) for start in range(first, last, size)]


def _behind(results: Iterable[Found], write: Any) -> Iterator[Found]:
    """Write each result in a thread, a few of them behind; gives those that are written."""
    waiting: deque[tuple[Found, Future[None]]] = deque()
    with ThreadPoolExecutor(1, "writer") as pool:
        try:
            for found in results:
                waiting.append((found, pool.submit(write, found)))
                if len(waiting) > WRITING:
                    yield _written(*waiting.popleft())
            while waiting:
                yield _written(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _written(found: Found, work: "Future[None]") -> Found:
    work.result()
    return found


def _require_readable(source: "WindowSource", done: int) -> None:
    """Refuse a slide of which too much is unreadable, once that is sure."""
    total = len(source.plan.windows)
    if source.unreadable > UNREADABLE_SHARE * total:
        raise DamagedSlideError(
            f"{source.unreadable:,} of the first {done:,} windows are unreadable, and of all "
            f"{total:,} {UNREADABLE_SHARE:.0%} may be; the first: {source.error}"
        )


def _size(store: PatchStore, name: str) -> int:
    checksums = SlideMap(store, name).attributes["checksums"].values()
    return sum(int(size) for size, _ in checksums)


class _Teller:
    """Tells the coordinator how many windows of a slide are done, now and then."""

    def __init__(self, task: MapTask, total: int) -> None:
        self._last, self._total = float("-inf"), total
        self._slide_id, self._send = task.slide_id, sender(task.topic)

    def __call__(self, done: int) -> None:
        if time.monotonic() - self._last >= TELL_S:
            message = {"slide_id": self._slide_id, "done": done, "total": self._total}
            self._send(message)
            self._last = time.monotonic()
