"""The plan on Dask: one task prepares a slide, then one task per shard; the coordinator commits.

No task shares anything with another, so there are no locks; what a crash leaves is out of sight and
is done again. Slides that another run holds are waited for at the end.
"""

import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiling import zarrjson
from tiling.cut import ShardResult, ShardTask, cut_shard, unreadable_share
from tiling.errors import ConflictError, DamagedSlideError, LeaseError
from tiling.existing import require_distinct, split_committed, why_conflict
from tiling.index import update_index
from tiling.lease import Leases
from tiling.outcome import Progress, RunSummary, SlideOutcome, committed_outcome, failed_outcome
from tiling.prepare import Prepared, prepare_slide
from tiling.provenance import creation_time, versions
from tiling.request import CutOptions, SlideSource
from tiling.store import DOCUMENT, Archive, SlideWriter, slide_document
from tiling.tiles import RETRIED, UNREADABLE

if TYPE_CHECKING:
    from distributed import Client, Future

POLL_S = 0.5
RECOUNT_S = 5.0
"""How often workers are counted: a cluster may grow."""

log = logging.getLogger(__name__)


Report = Callable[[Progress], None]


def run(
    sources: Sequence[SlideSource],
    options: CutOptions,
    archive: Archive,
    client: "Client",
    *,
    overwrite: bool = False,
    progress: Report | None = None,
) -> RunSummary:
    """Cut all slides into the archive on the client's workers.

    A slide that fails is recorded with its cause, and the others go on.

    Raises:
        ManifestError: two slides have the same ID.
        ConflictError: the archive holds other versions of slides, and `overwrite` is off.
        StoreError: the archive itself cannot be written.
    """
    require_distinct(sources)
    todo, skipped = split_committed(archive, sources, options, overwrite=overwrite)
    with Leases(archive.storage) as leases:
        leases.sweep()
        work = _Run(archive, options, client, leases, overwrite=overwrite, progress=progress)
        work.skip(skipped)
        try:
            work.cut(todo)
        finally:
            work.abandon()
        update_index(archive, leases)
        leases.sweep()  # of runs that died meanwhile
    order = {source.slide_id: i for i, source in enumerate(sources)}
    outcomes = sorted(work.outcomes, key=lambda outcome: order[outcome.slide_id])
    return RunSummary(tuple(outcomes), time.monotonic() - work.started)


@dataclass
class _Active:
    """A slide under way."""

    source: SlideSource
    prefix: str
    futures: set["Future[Any]"] = field(default_factory=set)
    prepared: Prepared | None = None
    results: dict[int, ShardResult] = field(default_factory=dict)


class _Run:
    """The coordinator's state; everything here happens in one thread."""

    def __init__(
        self,
        archive: Archive,
        options: CutOptions,
        client: "Client",
        leases: Leases,
        *,
        overwrite: bool,
        progress: Report | None,
    ) -> None:
        self.outcomes: list[SlideOutcome] = []
        self.started = time.monotonic()
        self._archive, self._options, self._client = archive, options, client
        self._leases, self._overwrite, self._progress = leases, overwrite, progress
        self._active: dict[str, _Active] = {}
        self._finished: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._patches_total = self._patches_done = self._bytes = self._slides = 0
        self._workers, self._counted = 1, float("-inf")
        self._created = creation_time()
        self._versions = versions()

    def skip(self, sources: Sequence[SlideSource]) -> None:
        """Record slides that are there already."""
        self._slides += len(sources)
        for source in sources:
            self._record_committed(source)

    def cut(self, sources: Sequence[SlideSource]) -> None:
        """Cut slides until each has an outcome."""
        self._slides += len(sources)
        waiting, elsewhere = deque(sources), deque[SlideSource]()
        while waiting or elsewhere or self._active:
            while waiting and len(self._active) < self._room():
                source = waiting.popleft()
                if not self._begin(source):
                    elsewhere.append(source)
            self._wait()
            for _ in range(len(elsewhere) if not waiting else 0):
                source = elsewhere.popleft()
                if not self._settled_elsewhere(source) and not self._begin(source):
                    elsewhere.append(source)

    def abandon(self) -> None:
        """Cancel what is under way and remove what it wrote; nothing to do after a whole run."""
        for active in list(self._active.values()):
            self._drop(active)

    def _room(self) -> int:
        """Slides under way at a time: enough that no worker waits, few enough to bound memory."""
        if time.monotonic() > self._counted + RECOUNT_S:
            self._counted = time.monotonic()
            self._workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        return 2 + 2 * self._workers

    def _begin(self, source: SlideSource) -> bool:
        if not self._leases.acquire(source.slide_id):
            return False
        if self._settled_elsewhere(source):
            self._leases.release(source.slide_id)
            return True
        storage = self._archive.storage
        active = _Active(source, storage.staging(source.slide_id, self._leases.token))
        self._active[source.slide_id] = active
        self._submit(active, prepare_slide, source, self._options, storage, active.prefix)
        return True

    def _settled_elsewhere(self, source: SlideSource) -> bool:
        """Whether another run has committed the slide meanwhile."""
        if source.slide_id not in self._archive:
            return False
        conflict = why_conflict(self._archive, source, self._options)
        if conflict is None:
            self._record_committed(source)
            return True
        if self._overwrite:
            return False
        late = ConflictError(f"{conflict}, by another run meanwhile")
        self.outcomes.append(failed_outcome(source, late))
        return True

    def _submit(self, active: _Active, task: Callable[..., Any], *arguments: Any) -> None:
        future = self._client.submit(task, *arguments, pure=False)
        active.futures.add(future)
        slide_id = active.source.slide_id
        future.add_done_callback(lambda done: self._finished.put((slide_id, done)))

    def _wait(self) -> None:
        """Handle what has finished; returns after a moment in any case."""
        try:
            slide_id, future = self._finished.get(timeout=POLL_S)
        except queue.Empty:
            self._report()
            return
        active = self._active.get(slide_id)
        if active is None or future not in active.futures:
            return  # of a slide that was given up
        active.futures.discard(future)
        error = future.exception() if future.status == "error" else None
        if future.status in ("cancelled", "lost"):
            error = ConnectionError(f"the Dask scheduler dropped the task ({future.status})")
        if error is not None:
            self._fail(active, error)
        else:
            self._advance(active, future.result())
        self._report()

    def _advance(self, active: _Active, result: Prepared | ShardResult) -> None:
        if isinstance(result, Prepared):
            active.prepared = result
            self._patches_total += len(result)
            for number in range(result.shards):
                self._submit(active, cut_shard, self._shard(active, result, number))
        else:
            active.results[result.number] = result
            self._patches_done += len(result.status)
            self._bytes += result.size_bytes
        if not active.futures:
            self._finish(active)

    def _shard(self, active: _Active, plan: Prepared, number: int) -> ShardTask:
        first = number * plan.capacity
        return ShardTask(
            slide=plan.slide,
            footprint=plan.footprint,
            origins=plan.origins[first : first + plan.capacity],
            encoding=plan.encoding,
            storage=self._archive.storage,
            prefix=active.prefix,
            number=number,
            capacity=plan.capacity,
        )

    def _finish(self, active: _Active) -> None:
        try:
            outcome = self._commit(active)
        except (OSError, DamagedSlideError, LeaseError) as err:
            self._fail(active, err)
            return
        del self._active[active.source.slide_id]
        self._leases.release(active.source.slide_id)
        self.outcomes.append(outcome)

    def _commit(self, active: _Active) -> SlideOutcome:
        plan, source = active.prepared, active.source
        if plan is None:
            raise DamagedSlideError(f"{source.slide_id}: it was never planned")
        shards = [active.results[number] for number in range(plan.shards)]
        statuses = [shard.status for shard in shards]
        self._check_readable(source, shards)
        status = np.concatenate(statuses) if statuses else np.zeros(0, np.uint8)
        writer = SlideWriter(self._archive.storage, active.prefix, dict(plan.checksums))
        for shard in shards:
            writer.checksums.update(shard.checksums)
        writer.put_array("status", zarrjson.small_array(status, "u1"))
        patch_px = plan.footprint.patch_px
        writer.put_patches_document(len(plan), patch_px, plan.capacity, plan.encoding)
        attributes = dict(plan.attributes) | {
            "n_patches": len(plan),
            "n_unreadable": int((status == UNREADABLE).sum()),
            "n_retried": int((status == RETRIED).sum()),
            "shard_patches": plan.capacity,
            "versions": self._versions,
            "created": self._created,
            "checksums": writer.checksums,
        }
        self._leases.check(source.slide_id)
        document = slide_document(attributes)
        self._archive.storage.publish(active.prefix, source.slide_id, DOCUMENT, document)
        return committed_outcome(source, "done", attributes)

    def _check_readable(self, source: SlideSource, shards: Sequence[ShardResult]) -> None:
        share = unreadable_share([shard.status for shard in shards])
        if share > self._options.max_unreadable:
            first = next(shard.error for shard in shards if shard.error)
            raise DamagedSlideError(
                f"{source.slide_id}: {share:.1%} of the patches are unreadable, "
                f"{self._options.max_unreadable:.1%} are allowed; the first: {first}"
            )

    def _fail(self, active: _Active, error: BaseException) -> None:
        log.debug("slide %s failed", active.source.slide_id, exc_info=error)
        self._drop(active)
        self.outcomes.append(failed_outcome(active.source, error))

    def _drop(self, active: _Active) -> None:
        if active.futures:
            self._client.cancel(list(active.futures), force=True)
        slide_id = active.source.slide_id
        self._active.pop(slide_id, None)
        if self._leases.owns(slide_id) or active.prefix != slide_id:
            self._archive.storage.delete(active.prefix)
        self._leases.release(slide_id)

    def _record_committed(self, source: SlideSource) -> None:
        attributes = self._archive[source.slide_id].attributes
        self.outcomes.append(committed_outcome(source, "skipped", attributes))

    def _report(self) -> None:
        if self._progress is None:
            return
        states = [outcome.state for outcome in self.outcomes]
        self._progress(
            Progress(
                slides_total=self._slides,
                slides_done=states.count("done"),
                slides_skipped=states.count("skipped"),
                slides_failed=states.count("failed"),
                patches_total=self._patches_total,
                patches_done=self._patches_done,
                bytes_written=self._bytes,
                elapsed_s=time.monotonic() - self.started,
            )
        )
