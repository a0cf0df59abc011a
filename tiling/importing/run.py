"""An import as a whole: what is there already, slides built by threads, each committed at its end.

As with the tiler, what a crash leaves is out of sight and is done again, and slides that another
run holds are waited for at the end.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from tiling.errors import ConflictError, LeaseError, TilingError
from tiling.existing import SHOWN
from tiling.importing.group import Job, Place
from tiling.index import update_index
from tiling.lease import Leases
from tiling.outcome import Progress, RunSummary, SlideOutcome, committed_outcome, failed_outcome
from tiling.provenance import creation_time
from tiling.request import SlideSource
from tiling.store import DOCUMENT, Archive, slide_document

POLL_S = 0.5

AT_ONCE = 8
"""Slides built at a time: small ones wait for the disk to flush, not for the processor."""

Report = Callable[[Progress], None]
Attributes = dict[str, Any]

log = logging.getLogger(__name__)


def run_import(
    jobs: Sequence[Job],
    archive: Archive,
    *,
    workers: int = 1,
    at_once: int = AT_ONCE,
    overwrite: bool = False,
    progress: Report | None = None,
) -> RunSummary:
    """Import all slides into the archive.

    A slide that fails is recorded with its cause, and the others go on.

    Args:
        jobs: one per slide, with different IDs.
        archive: where they go.
        workers: threads that read and decode.
        at_once: slides that are built at a time; each holds a shard in memory.
        overwrite: replace slides that the archive holds from other files or options.
        progress: told how far the run is.

    Raises:
        ConflictError: the archive holds other versions of slides, and `overwrite` is off.
        StoreError: the archive itself cannot be written.
    """
    with (
        ThreadPoolExecutor(workers, "read") as readers,
        ThreadPoolExecutor(at_once, "build") as builders,
        Leases(archive.storage) as leases,
    ):
        leases.sweep()
        run = _Run(archive, leases, readers, builders, overwrite=overwrite, progress=progress)
        try:
            run.import_all(jobs)
        finally:
            run.abandon()
        update_index(archive, leases)
        leases.sweep()  # of runs that died meanwhile
    order = {job.slide_id: i for i, job in enumerate(jobs)}
    outcomes = sorted(run.outcomes, key=lambda outcome: order[outcome.slide_id])
    return RunSummary(tuple(outcomes), time.monotonic() - run.started)


class _Run:
    """The coordinator's state; everything but `_advance` happens in one thread."""

    def __init__(
        self,
        archive: Archive,
        leases: Leases,
        readers: ThreadPoolExecutor,
        builders: ThreadPoolExecutor,
        *,
        overwrite: bool,
        progress: Report | None,
    ) -> None:
        self.outcomes: list[SlideOutcome] = []
        self.started = time.monotonic()
        self._archive, self._leases, self._overwrite = archive, leases, overwrite
        self._readers, self._builders, self._progress = readers, builders, progress
        self._room = 2 * builders._max_workers
        self._active: dict[Future[Attributes], tuple[Job, str]] = {}
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._patches_done = self._bytes = self._patches_total = self._slides = 0
        self._created = creation_time()

    def import_all(self, jobs: Sequence[Job]) -> None:
        """Import until each slide has an outcome."""
        self._slides = len(jobs)
        waiting, elsewhere = deque(self._skip(jobs)), deque[Job]()
        self._patches_total = sum(map(len, waiting))
        while waiting or elsewhere or self._active:
            while waiting and len(self._active) < self._room:
                job = waiting.popleft()
                if not self._begin(job):
                    elsewhere.append(job)
            self._wait()
            for _ in range(len(elsewhere) if not waiting else 0):
                job = elsewhere.popleft()
                if not self._begin(job):
                    elsewhere.append(job)

    def abandon(self) -> None:
        """Stop what is under way and remove what it wrote; nothing to do after a whole run."""
        self._stop.set()
        for future in self._active:
            future.cancel()
        wait(self._active)
        for job, prefix in self._active.values():
            self._drop(job, prefix)
        self._active.clear()

    def _skip(self, jobs: Sequence[Job]) -> list[Job]:
        """Record what is committed already, and give the rest."""
        committed = set(self._archive.slide_ids())
        there = [job for job in jobs if job.slide_id in committed]
        reasons = list(self._readers.map(self._why_conflict, there))
        conflicts = [reason for reason in reasons if reason]
        if conflicts and not self._overwrite:
            more = f"; and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
            raise ConflictError(
                f"{self._archive.location} holds other versions: {'; '.join(conflicts[:SHOWN])}"
                f"{more}. Use another --out, or replace them with --overwrite"
            )
        done = [job for job, reason in zip(there, reasons, strict=True) if reason is None]
        for job in done:
            self._record_committed(job)
        finished = {job.slide_id for job in done}
        return [job for job in jobs if job.slide_id not in finished]

    def _why_conflict(self, job: Job) -> str | None:
        """Say how a committed slide differs from what is asked for; None where it does not."""
        attributes = self._archive[job.slide_id].attributes
        if attributes["config_hash"] != job.config_hash():
            return f"{job.slide_id} was imported with other options, labels or files"
        now, then = job.fingerprint(), attributes["source"]
        if (now["size"], now["quick_hash"]) != (then["size"], then["quick_hash"]):
            return f"{job.slide_id} was imported from other versions of its files"
        return None

    def _begin(self, job: Job) -> bool:
        """Start a slide; says no while another run has it."""
        if self._settled_elsewhere(job):
            return True
        if not self._leases.acquire(job.slide_id):
            return False
        if self._settled_elsewhere(job):  # committed right before the lease was ours
            self._leases.release(job.slide_id)
            return True
        storage = self._archive.storage
        prefix = storage.staging(job.slide_id, self._leases.token)
        place = Place(storage, prefix, self._readers, self._advance, self._stop)
        self._active[self._builders.submit(job.build, place)] = (job, prefix)
        return True

    def _settled_elsewhere(self, job: Job) -> bool:
        if job.slide_id not in self._archive:
            return False
        conflict = self._why_conflict(job)
        if conflict is None:
            self._record_committed(job)
            return True
        if self._overwrite:
            return False
        late = ConflictError(f"{conflict}, by another run meanwhile")
        self.outcomes.append(failed_outcome(_source(job), late))
        return True

    def _wait(self) -> None:
        """Commit what has been built; returns after a moment in any case."""
        if not self._active:
            time.sleep(POLL_S)
        finished, _ = wait(self._active, POLL_S, FIRST_COMPLETED)
        for future in finished:
            job, prefix = self._active.pop(future)
            error = future.exception()
            if error is None:
                error = self._commit(job, prefix, future.result())
            if error is not None:
                log.debug("slide %s failed", job.slide_id, exc_info=error)
                self._drop(job, prefix)
                self.outcomes.append(failed_outcome(_source(job), error))
        self._report()

    def _commit(self, job: Job, prefix: str, attributes: Attributes) -> Exception | None:
        attributes = attributes | {"created": self._created}
        try:
            self._leases.check(job.slide_id)
            document = slide_document(attributes)
            self._archive.storage.publish(prefix, job.slide_id, DOCUMENT, document)
        except (OSError, LeaseError, TilingError) as err:
            return err
        self._leases.release(job.slide_id)
        self.outcomes.append(committed_outcome(_source(job), "done", attributes))
        return None

    def _drop(self, job: Job, prefix: str) -> None:
        if self._leases.owns(job.slide_id) or prefix != job.slide_id:
            self._archive.storage.delete(prefix)
        self._leases.release(job.slide_id)

    def _record_committed(self, job: Job) -> None:
        attributes = self._archive[job.slide_id].attributes
        self.outcomes.append(committed_outcome(_source(job), "skipped", attributes))

    def _advance(self, patches: int, size: int) -> None:
        with self._lock:
            self._patches_done += patches
            self._bytes += size

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


def _source(job: Job) -> SlideSource:
    return SlideSource(job.slide_id, job.location)
