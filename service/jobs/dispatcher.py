"""The thread that takes jobs from the queue, watches over those that run, and writes down all."""

import logging
import threading
import time
from collections.abc import Collection

from sqlalchemy.exc import SQLAlchemyError

from service.errors import UnavailableError
from service.jobs.claims import Claims, End
from service.jobs.log import Said
from service.jobs.process import Prepare, Running
from service.jobs.timing import Timing
from service.jobs.workers import Cluster

log = logging.getLogger("microtome.jobs")


class Dispatcher:
    """Runs jobs until it is closed.

    Args:
        claims: the queue, as one who runs jobs knows it.
        prepare: makes a job ready to run.
        cluster: that jobs run on.
        clustered: workflows that cannot run without it.
        at_once: jobs that run at a time.
        timing: of looks and signs of life.
    """

    def __init__(
        self,
        claims: Claims,
        prepare: Prepare,
        cluster: Cluster,
        *,
        clustered: Collection[str],
        at_once: int,
        timing: Timing,
    ) -> None:
        self._claims, self._prepare, self._cluster = claims, prepare, cluster
        self._clustered, self._at_once, self._timing = clustered, at_once, timing
        self._running: list[Running] = []
        self._unsaid: dict[Running, list[Said]] = {}
        self._news = threading.Event()
        self._closing = threading.Event()
        self._heard = time.monotonic()
        self._is_away = False
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        if self._at_once:
            self._thread.start()

    def wake(self) -> None:
        """Look at the queue now: a job was submitted, or one has ended."""
        self._news.set()

    def close(self) -> None:
        """Stop; jobs that run are stopped in order, and put back into the queue."""
        self._closing.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._news.wait(self._timing.tell_s if self._running else self._timing.poll_s)
            self._news.clear()
            self._turn()
        self._stop_all()

    def _turn(self) -> None:
        try:
            self._look_after()
            self._claims.reap()
            self._take()
        except SQLAlchemyError as err:
            log.warning("the database does not answer: %s", err.__class__.__name__)
            self._fence()
        except Exception:
            log.exception("unexpected, while jobs were looked after")

    def _look_after(self) -> None:
        if not self._running:
            return
        ours = self._claims.beat(job.claim for job in self._running)
        self._heard = time.monotonic()
        for job in list(self._running):
            key = (job.claim.number, job.claim.attempt)
            if key not in ours:
                self._forget(job)
            elif ours[key]:
                self._cancel(job)
            try:
                self._write(job)
            except (SQLAlchemyError, OSError):
                raise
            except Exception:
                log.exception("job %s: unexpected", job.claim.id, extra={"job": job.claim.id})
                self._give_up(job)

    def _give_up(self, job: Running) -> None:
        """End a job whose news cannot be written down, for it would hold up all others."""
        job.kill()
        self._claims.end(job.claim, End("failed", "what it said cannot be written down", 1))
        self._running.remove(job)

    def _write(self, job: Running) -> None:
        """Write down the news of a job, and its end if it has ended."""
        end = job.end  # asked for first, so that nothing is said after its last news were taken
        progress, said = job.news()
        said = self._unsaid.pop(job, []) + said
        try:
            if progress is not None or said:
                self._claims.tell(job.claim, progress, said)
                said = []
            if end is not None:
                self._claims.end(job.claim, end)
                self._running.remove(job)
        finally:
            if said:  # it goes into the next attempt to write
                self._unsaid[job] = said

    def _cancel(self, job: Running) -> None:
        job.stop()
        since = job.stopping_since
        if since is not None and time.monotonic() - since > self._timing.grace_s:
            job.kill()

    def _forget(self, job: Running) -> None:
        """Leave a job to whoever has it now."""
        log.warning("job %s was taken over", job.claim.id, extra={"job": job.claim.id})
        job.kill()

    def _fence(self) -> None:
        """Without a sign of life for as long as a lease lasts, others may have our jobs by now."""
        if time.monotonic() - self._heard > self._timing.lease_s:
            for job in self._running:
                job.kill()

    def _take(self) -> None:
        while len(self._running) < self._at_once and not self._closing.is_set():
            claim = self._claims.claim(without=self._waiting_for_cluster())
            if claim is None:
                return
            log.info("job %s: %s begun", claim.id, claim.workflow, extra={"job": claim.id})
            self._heard = time.monotonic()
            self._running.append(Running(claim, self._prepare, self.wake))

    def _waiting_for_cluster(self) -> Collection[str]:
        """Name the workflows that must wait, as the operator's cluster is away."""
        try:
            self._cluster.check()
        except UnavailableError as err:
            if not self._is_away:
                log.warning("jobs wait for the cluster: %s", err)
            self._is_away = True
            return self._clustered
        self._is_away = False
        return ()

    def _stop_all(self) -> None:
        for job in self._running:
            job.stop()
        until = time.monotonic() + self._timing.closing_s
        for job in self._running:
            if not job.join(until - time.monotonic()):
                job.kill()
                job.join(self._timing.closing_s)
        try:
            for job in list(self._running):
                progress, said = job.news()
                self._claims.tell(job.claim, progress, self._unsaid.pop(job, []) + said)
                end = job.end
                whole = end is not None and (end.state == "succeeded" or end.document is not None)
                self._claims.end(job.claim, end if end and whole else End("released"))
        except SQLAlchemyError:
            log.warning("the database does not answer: others take over when the leases end")
