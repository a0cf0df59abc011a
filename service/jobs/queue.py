"""The queue as clients know it: submit, find, list and cancel jobs. One transaction each."""

import datetime
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, Table, bindparam, func, insert, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.auth.audit import Note
from service.database import Database, now
from service.errors import NotFoundError, StateError, TooManyError
from service.jobs.log import STATE, add_lines
from service.jobs.tables import ENDED, UNDER_WAY, Job, JobOutcome, State

LIMIT_LOCK = 0x6A6F_6273
"""First number of the lock under which PostgreSQL counts the jobs of a token."""
TABLE = cast("Table", Job.__table__)
INSERT = insert(TABLE).returning(*TABLE.columns)  # made once, as is the next: every job needs them
COUNT = select(func.count()).where(
    TABLE.c.token_id == bindparam("token"), TABLE.c.state.in_(UNDER_WAY)
)
AGAIN_S = 10.0
"""When a client whose jobs are too many should ask again."""


@dataclass(frozen=True)
class Asked:
    """What a client asks for.

    Attributes:
        token_id: of its token.
        name: of its token.
        workflow: name of the workflow.
        config: in the client's names of places.
        priority: jobs of a higher one are begun first.
        key: the client's Idempotency-Key.
    """

    token_id: int
    name: str
    workflow: str
    config: Mapping[str, Any]
    priority: int = 0
    key: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what is asked for, whoever asks."""
        asked = [self.workflow, self.config, self.priority]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Wanted:
    """Which jobs of a list.

    Attributes:
        token_id: only those of this token.
        state: only those in this state.
        workflow: only those of this workflow.
        before: only those with a smaller number.
        limit: how many at most.
    """

    token_id: int | None = None
    state: State | None = None
    workflow: str | None = None
    before: int | None = None
    limit: int = 50


class Queue:
    """The jobs in the database; safe to share between threads.

    Args:
        database: where they are.
        per_token: jobs that one token may have waiting or running.
    """

    def __init__(self, database: Database, per_token: int) -> None:
        self._database, self._per_token = database, per_token

    def known(self, asked: Asked) -> Job | None:
        """Find the job that was asked for with the same key before.

        Raises:
            StateError: the key was used for another job.
        """
        if asked.key is None:
            return None
        same = select(Job).where(Job.token_id == asked.token_id, Job.key == asked.key)
        with self._database.session() as session:
            known = session.scalars(same).first()
        if known is not None and known.digest != asked.digest:
            raise StateError(
                f"the Idempotency-Key {asked.key!r} was used for another job, {known.id}; "
                "take a new key for a new job"
            )
        return known

    def submit(self, asked: Asked, note: Note | None = None) -> tuple[Job | Row[Any], bool]:
        """Add a job, or find the one that was asked for with the same key; says if it is new.

        Args:
            asked: what a client asks for.
            note: takes note of a new job, in the same transaction.

        Raises:
            StateError: the key was used for another job.
            TooManyError: the token has too many jobs.
        """
        try:
            with self._database.inserting() as connection:
                self._make_room(connection, asked.token_id)
                job = connection.execute(INSERT, _row(asked)).one()
                if note is not None:
                    note(connection, job.id, job.workflow)
        except IntegrityError:  # the same key was used before, or at the same moment
            known = self.known(asked)
            if known is None:
                raise
            return known, False
        return job, True

    def find(self, job_id: str, token_id: int | None) -> Job:
        """Find a job; with a token's ID only if it is that token's.

        Raises:
            NotFoundError: there is none, or it is another token's.
        """
        with self._database.session() as session:
            return _visible(session, job_id, token_id)

    def listing(self, wanted: Wanted) -> Sequence[Row[Any]]:
        """List jobs, the newest first: rows with what `Job` has, which cost less."""
        query = select(*TABLE.columns).order_by(Job.number.desc()).limit(wanted.limit)
        if wanted.before is not None:
            query = query.where(Job.number < wanted.before)
        for column in ("token_id", "state", "workflow"):
            value = getattr(wanted, column)
            if value is not None:
                query = query.where(getattr(Job, column) == value)
        with self._database.session() as session:
            return session.execute(query).all()

    def cancel(self, job_id: str, token_id: int | None, who: str) -> Job:
        """Cancel a job: at once if it waits, else whoever runs it stops it soon.

        Raises:
            NotFoundError: there is none, or it is another token's.
            StateError: it has ended.
        """
        with self._database.writing() as session:
            job = _visible(session, job_id, token_id, lock=True)
            if job.state == "queued":
                job.state, job.finished = "cancelled", now()
                add_lines(session, job, [(STATE, f"cancelled by {who} before it was begun")])
            elif job.state == "running" and not job.cancel:
                job.cancel = True
                add_lines(session, job, [(STATE, f"{who} asked to cancel it")])
            elif job.state in ENDED and job.state != "cancelled":
                raise StateError(f"the job {job_id} has ended: it {_ENDED[job.state]}")
            return job

    def outcome(self, job: Job) -> dict[str, Any]:
        """Give the document of a job that has ended.

        Raises:
            StateError: it has not ended.
            NotFoundError: it ended without one.
        """
        if job.state in UNDER_WAY:
            raise StateError(f"the job {job.id} has not ended: it is {job.state}")
        with self._database.session() as session:
            found = session.get(JobOutcome, job.number)
            if found is None:
                raise NotFoundError(f"the job {job.id} {_ENDED[job.state]} without an outcome")
            return found.document

    def beside(self, job: Job, slack_s: float) -> Sequence[Row[Any]]:
        """Give the other jobs that ran while a job did, with so many seconds around both.

        Rows have `token_id`, `workflow` and `config`.
        """
        slack = datetime.timedelta(seconds=2 * slack_s)
        if job.started is None:
            return []
        query = select(Job.token_id, Job.workflow, Job.config)
        query = query.where(Job.number != job.number, Job.started.is_not(None))
        query = query.where(or_(Job.finished.is_(None), Job.finished >= job.started - slack))
        if job.finished is not None:
            query = query.where(Job.started <= job.finished + slack)
        with self._database.session() as session:
            return session.execute(query).all()

    def depth(self) -> dict[str, int]:
        """Count the jobs in each state."""
        counts = select(Job.state, func.count()).group_by(Job.state)
        with self._database.session() as session:
            found = {row[0]: row[1] for row in session.execute(counts)}
        return {state: found.get(state, 0) for state in (*UNDER_WAY, *ENDED)}

    def _make_room(self, connection: Connection, token_id: int) -> None:
        if not self._database.is_sqlite:  # else two that count at once would both find room
            lock = text("SELECT pg_advisory_xact_lock(:kind, :token)")
            connection.execute(lock, {"kind": LIMIT_LOCK, "token": token_id})
        if (connection.scalar(COUNT, {"token": token_id}) or 0) >= self._per_token:
            raise TooManyError(
                f"{self._per_token} jobs of this token are waiting or running, which is its limit",
                AGAIN_S,
            )


_ENDED = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled"}


def _row(asked: Asked) -> dict[str, Any]:
    """Give what one INSERT writes; a session would make more of it."""
    made = now()
    return {
        "id": uuid.uuid4().hex,
        "token_id": asked.token_id,
        "submitted_by": asked.name[:100],
        "key": asked.key,
        "digest": asked.digest,
        "workflow": asked.workflow,
        "config": dict(asked.config),
        "rank": -asked.priority,
        "state": "queued",
        "created": made,
        "not_before": made,
        "attempt": 0,
        "losses": 0,
        "cancel": False,
        "lines": 0,
        "has_outcome": False,
    }


def _visible(session: Session, job_id: str, token_id: int | None, *, lock: bool = False) -> Job:
    query = select(Job).where(Job.id == job_id)
    job = session.scalars(query.with_for_update() if lock else query).first()
    if job is None or token_id not in (None, job.token_id):
        raise NotFoundError(f"there is no job {job_id!r}")
    return job
