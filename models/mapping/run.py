"""A run on Dask: one task per slide, which writes the map in place. Knows no torch.

Each map is leased, so that two runs never write one; what a run that was killed has written stays,
and the next one goes on with it.
"""

import logging
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.embedding.outcome import Outcome, Progress, Summary, failed
from models.mapping.planning import forget_notes, has_map, why_conflict
from models.mapping.request import MapEngine, MapRequest
from models.mapping.tasks import MapResult, MapTask, map_slide
from tiling.errors import ConflictError, TilingError
from tiling.lease import Leases
from tiling.maps import map_lease
from tiling.store import Archive

if TYPE_CHECKING:
    from distributed import Client, Future

POLL_S = 0.5
SHOWN = 5
"""Conflicts that are spelled out; the rest is counted."""

log = logging.getLogger(__name__)

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class MapMeans:
    """What a run works with: a client, how workers run, what a task takes of one, such as GPU."""

    client: "Client"
    engine: MapEngine
    resources: Mapping[str, float]


@dataclass(frozen=True)
class MapSummary(Summary):
    """What came of a run.

    Attributes:
        unreadable: windows by slide, where there are any.
    """

    unreadable: Mapping[str, int] = field(default_factory=dict)


def refuse_conflicts(archive: Archive, slide_ids: Sequence[str], request: MapRequest) -> None:
    """Refuse to begin where slides have other maps of this name.

    Slides that cannot be opened are told of when they are worked on.

    Raises:
        ConflictError: they do, and `overwrite` is off.
    """
    if request.overwrite:
        return
    stores = archive.sound_stores(slide_ids)
    found = [why_conflict(store, request) for store in stores if has_map(store, request)]
    reasons = [reason for reason in found if reason is not None]
    if reasons:
        more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        raise ConflictError(
            f"{archive.location} holds other maps named {request.name}: "
            f"{'; '.join(reasons[:SHOWN])}{more}; give another --name, or replace them: --overwrite"
        )


def run_maps(
    archive: Archive,
    slide_ids: Sequence[str],
    request: MapRequest,
    means: MapMeans,
    report: Report | None = None,
) -> MapSummary:
    """Map slides until each has an outcome; of these, `patches` are windows.

    Raises:
        ConflictError: slides have other maps of this name, and `overwrite` is off.
        StoreError: the archive itself cannot be written.
    """
    refuse_conflicts(archive, slide_ids, request)
    with Leases(archive.storage) as leases:
        leases.sweep()
        work = _Run(archive, request, means, leases, report)
        with work.listening():
            try:
                work.map(slide_ids)
            finally:
                work.abandon()
        leases.sweep()  # of runs that died meanwhile
    return work.summary()


class _Run:
    """The coordinator's state; all but listening happens in one thread."""

    def __init__(
        self,
        archive: Archive,
        request: MapRequest,
        means: MapMeans,
        leases: Leases,
        report: Report | None,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._archive, self._request, self._means = archive, request, means
        self._leases, self._report_to = leases, report
        self._started = time.monotonic()
        self._active: dict[str, Future[Any]] = {}
        self._told: dict[str, tuple[int, int]] = {}
        self._news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._topic = f"microtome-map-{uuid.uuid4().hex}"
        self._slides = 0
        self._results: dict[str, MapResult] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear how many windows workers have done."""
        client = self._means.client

        def hear(event: tuple[float, dict[str, Any]]) -> None:
            self._news.put((event[1]["slide_id"], (event[1]["done"], event[1]["total"])))

        client.subscribe_topic(self._topic, hear)
        try:
            yield
        finally:
            client.unsubscribe_topic(self._topic)

    def map(self, slide_ids: Sequence[str]) -> None:
        """Map slides until each has an outcome."""
        self._slides = len(slide_ids)
        waiting, elsewhere = deque(slide_ids), deque[str]()
        while waiting or elsewhere or self._active:
            while waiting and len(self._active) < self._room():
                slide_id = waiting.popleft()
                if not self._begin(slide_id):
                    elsewhere.append(slide_id)
            self._wait()
            for _ in range(len(elsewhere) if not waiting else 0):
                slide_id = elsewhere.popleft()
                if not self._is_settled(slide_id) and not self._begin(slide_id):
                    elsewhere.append(slide_id)

    def abandon(self) -> None:
        """Cancel what is under way; what it wrote stays. Nothing to do after a whole run."""
        for slide_id in list(self._active):
            self._drop(slide_id)

    def summary(self) -> MapSummary:
        """Say what came of all."""
        found = self._results.values()
        return MapSummary(
            tuple(sorted(self.outcomes, key=lambda outcome: outcome.slide_id)),
            time.monotonic() - self._started,
            sum(result.loading_s > 0 for result in found),
            len({result.process for result in found}),
            min((result.batch for result in found), default=None),
            {
                name: result.unreadable
                for name, result in self._results.items()
                if result.unreadable
            },
        )

    def _room(self) -> int:
        """Slides under way at a time: enough that no worker waits."""
        return 2 + 2 * len(self._means.client.scheduler_info(n_workers=-1)["workers"])

    def _lease(self, slide_id: str) -> str:
        return map_lease(slide_id, self._request.name)

    def _begin(self, slide_id: str) -> bool:
        """Submit a slide, or settle it at once; False where another run holds its map."""
        lease = self._lease(slide_id)
        if not self._leases.acquire(lease):
            return False
        if self._is_settled(slide_id):
            forget_notes(self._archive.storage, slide_id, self._request)
            self._leases.release(lease)
            return True
        task = MapTask(
            self._archive.storage,
            slide_id,
            self._request,
            (lease, self._leases.token),
            self._topic,
        )
        means = self._means
        resources = dict(means.resources) or None
        future = means.client.submit(map_slide, means.engine, task, pure=False, resources=resources)
        self._active[slide_id] = future
        future.add_done_callback(lambda done: self._news.put((slide_id, done)))
        return True

    def _is_settled(self, slide_id: str) -> bool:
        """Whether the map is there, made by an earlier run or by another one, or cannot be made."""
        try:
            store = self._archive[slide_id]
        except TilingError as err:
            self.outcomes.append(failed(slide_id, err))
            return True
        if not has_map(store, self._request):
            return False
        conflict = why_conflict(store, self._request)
        if conflict is None:
            self.outcomes.append(Outcome(slide_id, "skipped"))
            return True
        if self._request.overwrite:
            return False
        late = ConflictError(f"another run made another map meanwhile: {conflict}")
        self.outcomes.append(failed(slide_id, late))
        return True

    def _wait(self) -> None:
        """Handle what has happened; returns after a moment in any case."""
        try:
            slide_id, news = self._news.get(timeout=POLL_S)
        except queue.Empty:
            self._report()
            return
        future = self._active.get(slide_id)
        if future is not None and isinstance(news, tuple):
            self._told[slide_id] = news
        elif future is not None and future is news:
            self._ended(slide_id, future)
        self._report()

    def _ended(self, slide_id: str, future: "Future[Any]") -> None:
        error = future.exception() if future.status == "error" else None
        if future.status in ("cancelled", "lost"):
            error = ConnectionError(f"the Dask scheduler dropped the task ({future.status})")
        self._drop(slide_id)
        if error is not None:
            log.debug("slide %s failed", slide_id, exc_info=error)
            self.outcomes.append(failed(slide_id, error))
            return
        result: MapResult = future.result()
        self._results[slide_id] = result
        self._told[slide_id] = (result.windows, result.windows)
        self.outcomes.append(Outcome(slide_id, "done", result.windows, result.bytes))

    def _drop(self, slide_id: str) -> None:
        future = self._active.pop(slide_id)
        if not future.done():
            self._means.client.cancel([future], force=True)
        self._leases.release(self._lease(slide_id))

    def _report(self) -> None:
        if self._report_to is None:
            return
        done = [outcome for outcome in self.outcomes if outcome.state == "done"]
        self._report_to(
            Progress(
                slides_total=self._slides,
                slides_done=len(self.outcomes),
                slides_failed=sum(outcome.state == "failed" for outcome in self.outcomes),
                patches_total=sum(total for _, total in self._told.values()),
                patches_done=sum(count for count, _ in self._told.values()),
                bytes_written=sum(outcome.bytes for outcome in done),
                elapsed_s=time.monotonic() - self._started,
            )
        )
