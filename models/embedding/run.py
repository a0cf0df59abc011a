"""A run on Dask: one task per shard of a slide's rows; the coordinator commits. Knows no torch.

Works as cutting does: slides are leased, written out of sight, and appear when they are whole; one
that fails is recorded, and the others go on.
"""

import logging
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.embedding.engine import Engine
from models.embedding.outcome import Outcome, Progress, Summary, failed
from models.embedding.planning import (
    Planned,
    Request,
    SlideWork,
    is_committed,
    mark,
    why_conflict,
)
from models.embedding.setting import Setting
from models.embedding.tasks import RowsResult, RowsTask, embed_rows
from tiling.embeddings import EmbeddingPlan, array_key, commit, staged_key
from tiling.errors import ConflictError, LeaseError, StoreError
from tiling.lease import Leases
from tiling.provenance import creation_time, versions
from tiling.store import DOCUMENT, Archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client, Future

POLL_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """What a run works with.

    Attributes:
        client: of the workers.
        engine: how they run.
        setting: of the network.
        device: where the first worker runs it: cpu or cuda.
        resources: that a task takes of a worker, such as GPU.
    """

    client: "Client"
    engine: Engine
    setting: Setting
    device: str
    resources: Mapping[str, float]


@dataclass
class _Active:
    """A slide under way."""

    work: SlideWork
    prefix: str
    plan: EmbeddingPlan
    futures: set["Future[Any]"] = field(default_factory=set)
    results: list[RowsResult] = field(default_factory=list)
    told: int = 0


def run(
    archive: Archive,
    planned: Planned,
    request: Request,
    means: Means,
    report: Callable[[Progress], None] | None = None,
) -> Summary:
    """Embed all slides of a plan.

    Raises:
        StoreError: the archive itself cannot be written.
    """
    with Leases(archive.storage) as leases:
        leases.sweep()
        work = _Run(archive, request, means, leases, report)
        work.skip(planned.skipped)
        with work.listening():
            try:
                work.embed(planned.todo)
            finally:
                work.abandon()
        leases.sweep()  # of runs that died meanwhile
    return work.summary()


class _Run:
    """The coordinator's state; all but listening happens in one thread."""

    def __init__(
        self,
        archive: Archive,
        request: Request,
        means: Means,
        leases: Leases,
        report: Callable[[Progress], None] | None,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._archive, self._request, self._means = archive, request, means
        self._leases, self._report_to = leases, report
        self._started = time.monotonic()
        self._active: dict[str, _Active] = {}
        self._news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._topic = f"microtome-embed-{uuid.uuid4().hex}"
        self._slides = self._patches_total = self._patches_done = self._bytes = 0
        self._results: list[RowsResult] = []

    @contextmanager
    def listening(self) -> "Iterator[None]":
        """Hear how many rows workers have done."""
        client = self._means.client

        def hear(event: tuple[float, dict[str, Any]]) -> None:
            self._news.put((event[1]["slide_id"], event[1]["rows"]))

        client.subscribe_topic(self._topic, hear)
        try:
            yield
        finally:
            client.unsubscribe_topic(self._topic)

    def skip(self, skipped: Mapping[str, int]) -> None:
        """Record slides that have their embeddings."""
        self._slides += len(skipped)
        for slide_id, count in skipped.items():
            self.outcomes.append(Outcome(slide_id, "skipped", count))

    def embed(self, slides: tuple[SlideWork, ...]) -> None:
        """Embed slides until each has an outcome."""
        self._slides += len(slides)
        self._patches_total = sum(work.count for work in slides)
        waiting, elsewhere = deque(slides), deque[SlideWork]()
        while waiting or elsewhere or self._active:
            while waiting and len(self._active) < self._room():
                work = waiting.popleft()
                if not self._begin(work):
                    elsewhere.append(work)
            self._wait()
            for _ in range(len(elsewhere) if not waiting else 0):
                work = elsewhere.popleft()
                if not self._settled_elsewhere(work) and not self._begin(work):
                    elsewhere.append(work)

    def abandon(self) -> None:
        """Cancel what is under way and remove what it wrote; nothing to do after a whole run."""
        for active in list(self._active.values()):
            self._drop(active)

    def summary(self) -> Summary:
        """Say what came of all."""
        return Summary(
            tuple(sorted(self.outcomes, key=lambda outcome: outcome.slide_id)),
            time.monotonic() - self._started,
            sum(result.loading_s > 0 for result in self._results),
            len({result.process for result in self._results}),
            min((result.batch for result in self._results), default=None),
        )

    def _room(self) -> int:
        """Slides under way at a time: enough that no worker waits."""
        return 2 + 2 * len(self._means.client.scheduler_info(n_workers=-1)["workers"])

    def _lease(self, slide_id: str) -> str:
        return f"{slide_id}@{self._request.encoder_id}"  # no slide has an @ in its ID

    def _begin(self, work: SlideWork) -> bool:
        lease = self._lease(work.slide_id)
        if not self._leases.acquire(lease):
            return False
        if self._settled_elsewhere(work):
            self._leases.release(lease)
            return True
        storage, encoder_id = self._archive.storage, self._request.encoder_id
        prefix = staged_key(storage, work.slide_id, encoder_id, self._leases.token)
        plan = EmbeddingPlan(work.count, self._request.card.dim, self._request.dtype)
        active = self._active[work.slide_id] = _Active(work, prefix, plan)
        try:
            storage.delete(f"{prefix}/{DOCUMENT}")  # un-commits where arrays are made in place
            storage.delete(prefix)
        except OSError as err:
            self._fail(active, err)
            return True
        for number in range(plan.shards):
            self._submit(active, number)
        if not plan.shards:
            self._finish(active)
        return True

    def _settled_elsewhere(self, work: SlideWork) -> bool:
        """Whether another run has committed the same meanwhile."""
        slide_id, request = work.slide_id, self._request
        if not is_committed(self._archive, slide_id, request.encoder_id):
            return False
        conflict = why_conflict(self._archive, slide_id, request)
        if conflict is None:
            self._count(work.count)
            self.outcomes.append(Outcome(slide_id, "skipped", work.count))
            return True
        if request.overwrite:
            return False
        late = ConflictError(f"another run made other embeddings meanwhile: {conflict}")
        self.outcomes.append(failed(slide_id, late))
        return True

    def _submit(self, active: _Active, number: int) -> None:
        task = RowsTask(
            self._archive.storage,
            active.work.slide_id,
            active.prefix,
            active.plan,
            number,
            self._request.card.identity,
            self._means.setting,
            self._topic,
        )
        future = self._means.client.submit(
            embed_rows,
            self._means.engine,
            task,
            pure=False,
            resources=dict(self._means.resources) or None,
        )
        active.futures.add(future)
        future.add_done_callback(lambda done: self._news.put((active.work.slide_id, done)))

    def _wait(self) -> None:
        """Handle what has happened; returns after a moment in any case."""
        try:
            slide_id, news = self._news.get(timeout=POLL_S)
        except queue.Empty:
            self._report()
            return
        active = self._active.get(slide_id)
        if active is not None and isinstance(news, int):
            active.told += news
            self._count(news)
        elif active is not None and news in active.futures:
            self._ended(active, news)
        self._report()

    def _ended(self, active: _Active, future: "Future[Any]") -> None:
        active.futures.discard(future)
        error = future.exception() if future.status == "error" else None
        if future.status in ("cancelled", "lost"):
            error = ConnectionError(f"the Dask scheduler dropped the task ({future.status})")
        if error is not None:
            self._fail(active, error)
            return
        active.results.append(future.result())
        if not active.futures:
            self._finish(active)

    def _finish(self, active: _Active) -> None:
        try:
            size = self._commit(active)
        except (OSError, LeaseError) as err:
            self._fail(active, err)
            return
        work = active.work
        del self._active[work.slide_id]
        self._leases.release(self._lease(work.slide_id))
        self._results += active.results
        self._bytes += size
        self._count(work.count - active.told)
        self.outcomes.append(Outcome(work.slide_id, "done", work.count, size))

    def _commit(self, active: _Active) -> int:
        request, slide_id = self._request, active.work.slide_id
        if mark(self._archive[slide_id]) != active.work.mark:
            raise StoreError(f"{slide_id} was cut anew meanwhile; run again")
        checksums: dict[str, list[int]] = {}
        for result in sorted(active.results, key=lambda result: result.number):
            checksums |= result.checksums
        attributes = {
            "card": request.card.document(),
            "dtype": "float16" if request.dtype == "f2" else "float32",
            "settings": self._means.setting.document(self._means.device),
            "forced": list(active.work.forced),
            "checksums": checksums,
            "versions": versions(),
            "created": creation_time(),
        }
        self._leases.check(self._lease(slide_id))
        key = array_key(slide_id, request.encoder_id)
        commit(self._archive.storage, key, active.plan, attributes, staged=active.prefix)
        return sum(size for size, _ in checksums.values())

    def _fail(self, active: _Active, error: BaseException) -> None:
        log.debug("slide %s failed", active.work.slide_id, exc_info=error)
        self._drop(active)
        self._count(active.work.count - active.told)
        self.outcomes.append(failed(active.work.slide_id, error))

    def _drop(self, active: _Active) -> None:
        if active.futures:
            self._means.client.cancel(list(active.futures), force=True)
        slide_id = active.work.slide_id
        self._active.pop(slide_id, None)
        lease = self._lease(slide_id)
        in_place = active.prefix == array_key(slide_id, self._request.encoder_id)
        if self._leases.owns(lease) or not in_place:
            self._archive.storage.delete(active.prefix)
        self._leases.release(lease)

    def _count(self, patches: int) -> None:
        self._patches_done += patches

    def _report(self) -> None:
        if self._report_to is None:
            return
        self._report_to(
            Progress(
                slides_total=self._slides,
                slides_done=len(self.outcomes),
                slides_failed=sum(outcome.state == "failed" for outcome in self.outcomes),
                patches_total=self._patches_total,
                patches_done=min(self._patches_done, self._patches_total),
                bytes_written=self._bytes,
                elapsed_s=time.monotonic() - self._started,
            )
        )
