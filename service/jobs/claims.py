"""The queue as those know it who run jobs: claim one, say how far it is, and end it once.

A job belongs to whoever claimed it last: every change is made under the job's owner and attempt, so
one whose lease ended meanwhile changes nothing any more.
"""

import datetime
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from service.database import Database, now
from service.jobs.log import STATE, Said, add_lines, storable
from service.jobs.tables import Job, JobOutcome
from service.jobs.timing import Timing

TRIES = 6
"""How often a job is begun that is lost each time: by a crash, its owner's death, the cluster's."""


@dataclass(frozen=True)
class Claim:
    """A job that is ours to run.

    Attributes:
        number: of the job.
        id: of the job.
        attempt: which of its beginnings this is.
        workflow: what to run.
        config: in the client's names of places.
    """

    number: int
    id: str
    attempt: int
    workflow: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """What became of a job.

    Attributes:
        state: succeeded, failed or cancelled; lost where it should be tried again, and released
            where it was only put back, as the service stops.
        error: why, in one sentence.
        exit_code: of the workflow.
        document: its outcome.
    """

    state: str
    error: str | None = None
    exit_code: int | None = None
    document: Mapping[str, Any] | None = None


class Claims:
    """The jobs of one owner; for one thread.

    Args:
        database: where they are.
        owner: its name, which no other process ever had.
        timing: of leases and pauses.
    """

    def __init__(self, database: Database, owner: str, timing: Timing) -> None:
        self._database, self._owner, self._timing = database, owner, timing

    def claim(self, without: Collection[str] = ()) -> Claim | None:
        """Take the next job that waits, but for those of some workflows; None where there is none.

        Two owners never take the same one: PostgreSQL skips rows that are locked, and SQLite lets
        one write at a time.
        """
        waiting = select(Job).where(Job.state == "queued", Job.not_before <= now())
        if without:
            waiting = waiting.where(Job.workflow.not_in(without))
        waiting = waiting.order_by(Job.rank, Job.number).limit(1)
        with self._database.session() as session:  # on SQLite a look disturbs nobody who writes
            if session.scalars(waiting).first() is None:
                return None
        with self._database.writing() as session:
            job = session.scalars(waiting.with_for_update(skip_locked=True)).first()
            if job is None:
                return None
            job.state, job.owner, job.started = "running", self._owner, job.started or now()
            job.attempt += 1
            job.lease_until, job.progress = self._lease(), None
            again = f", attempt {job.attempt}" if job.attempt > 1 else ""
            add_lines(session, job, [(STATE, f"begun{again}")])
            return Claim(job.number, job.id, job.attempt, job.workflow, job.config)

    def beat(self, claims: Iterable[Claim]) -> dict[tuple[int, int], bool]:
        """Give a sign of life of these; says which are still ours, and which to cancel.

        A claim that was made while its answer was lost is not among them, so its lease ends.
        """
        numbers = [claim.number for claim in claims]
        ours = (Job.owner == self._owner, Job.state == "running", Job.number.in_(numbers))
        with self._database.writing() as session:
            session.execute(update(Job).where(*ours).values(lease_until=self._lease()))
            found = session.execute(select(Job.number, Job.attempt, Job.cancel).where(*ours))
            return {(number, attempt): cancel for number, attempt, cancel in found}

    def tell(self, claim: Claim, progress: Mapping[str, Any] | None, said: Iterable[Said]) -> bool:
        """Write down how far a job is and what it says; False where it is not ours any more."""
        with self._database.writing() as session:
            job = self._ours(session, claim)
            if job is None:
                return False
            if progress is not None:
                job.progress = dict(progress)
            add_lines(session, job, said)
            return True

    def end(self, claim: Claim, end: End) -> bool:
        """Write down what became of a job; False where it is not ours any more."""
        with self._database.writing() as session:
            job = self._ours(session, claim)
            if job is None:
                return False
            if end.state == "released":
                _release(session, job)
            elif end.state == "lost" or (end.state == "cancelled" and not job.cancel):
                self._lose(session, job, end)
            elif job.cancel and end.state == "failed" and end.document is None:
                _finish(session, job, End("cancelled"))  # it failed of being stopped
            else:
                _finish(session, job, end)
            return True

    def reap(self) -> int:
        """Take the jobs away from owners whose lease has ended; says how many there were."""
        late = select(Job).where(Job.state == "running", Job.lease_until < now())
        with self._database.session() as session:
            if session.scalars(late.limit(1)).first() is None:
                return 0
        with self._database.writing() as session:
            jobs = session.scalars(late.with_for_update(skip_locked=True)).all()
            died = End("lost", "the process of the service that ran it died")
            for job in jobs:
                self._lose(session, job, died)
            return len(jobs)

    def _lease(self) -> datetime.datetime:
        return now() + datetime.timedelta(seconds=self._timing.lease_s)

    def _ours(self, session: Session, claim: Claim) -> Job | None:
        ours: tuple[ColumnElement[bool], ...] = (
            Job.number == claim.number,
            Job.owner == self._owner,
            Job.attempt == claim.attempt,
            Job.state == "running",
        )
        return session.scalars(select(Job).where(*ours).with_for_update()).first()

    def _lose(self, session: Session, job: Job, end: End) -> None:
        why = end.error or "something else stopped it"
        job.losses += 1
        if job.cancel:
            _finish(session, job, End("cancelled"))
        elif job.losses >= TRIES:
            why = f"given up after {TRIES} attempts: {why}"
            _finish(session, job, End("failed", why, end.exit_code, end.document))
        else:
            wait_s = self._timing.wait_s(job.losses)
            job.state, job.owner, job.lease_until = "queued", None, None
            job.not_before = now() + datetime.timedelta(seconds=wait_s)
            add_lines(session, job, [(STATE, f"{why}; it is begun again in {wait_s:g} s")])


def _release(session: Session, job: Job) -> None:
    if job.cancel:
        _finish(session, job, End("cancelled"))
        return
    job.state, job.owner, job.lease_until, job.not_before = "queued", None, None, now()
    add_lines(session, job, [(STATE, "the service stops; the job goes on when it is back")])


def _finish(session: Session, job: Job, end: End) -> None:
    """End a job for good."""
    job.state, job.finished, job.owner, job.lease_until = end.state, now(), None, None
    job.error = None if end.error is None else storable(end.error)
    job.exit_code = end.exit_code
    if end.document is not None:
        job.has_outcome = True
        session.add(JobOutcome(job=job.number, document=dict(end.document)))
    why = f": {end.error}" if end.error else ""
    add_lines(session, job, [(STATE, f"{end.state}{why}")])
