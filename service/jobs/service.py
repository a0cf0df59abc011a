"""What routes need of this folder: submit, find and show jobs, each by whoever may."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from service.auth.access import Caller
from service.auth.audit import Note
from service.database import Database
from service.errors import InvalidError, NotFoundError, TooManyError
from service.jobs.log import read_lines
from service.jobs.names import Names
from service.jobs.offers import find_offer, is_identifying
from service.jobs.outputs import SLACK_S, Written, job_span, list_written
from service.jobs.places import Places
from service.jobs.queue import Asked, Queue, Wanted
from service.jobs.schemas import check_config
from service.jobs.tables import LOCAL, Job, JobLine, State

_ID = re.compile("[0-9a-f]{32}")
IDENTIFYING = frozenset({"patient", "site", "patients", "sites", "case_id", "cases"})
"""Names of values in outcomes that only callers with the scope `phi` see, where they are texts."""


@dataclass(frozen=True)
class Order:
    """What a client orders: a workflow, its config, a priority, and its Idempotency-Key."""

    workflow: str
    config: Mapping[str, Any]
    priority: int
    key: str | None


class Jobs:
    """Jobs, for routes; safe to share between threads.

    Args:
        database: where they are.
        queue: of jobs.
        places: translates configs.
        wake: is called when a job was added or should be cancelled.
    """

    def __init__(
        self, database: Database, queue: Queue, places: Places, wake: Callable[[], None]
    ) -> None:
        self._database, self._queue, self._places = database, queue, places
        self._wake = wake

    def submit(self, caller: Caller, order: Order, note: Note) -> Job | Row[Any]:
        """Check an order and add its job, or find the one of the same key.

        Raises:
            InvalidError: no such workflow, or a place that is not there.
            RequestValidationError: the config makes no sense.
            StateError: the key was used for another job.
            TooManyError: the token has too many jobs.
        """
        offer = find_offer(order.workflow)
        config = check_config(offer, order.config)
        asked = Asked(_token(caller), caller.name, offer.name, config, order.priority, order.key)
        try:
            self._places.check(offer, config)
            job, _ = self._queue.submit(asked, note)
        except (InvalidError, TooManyError):
            known = self._queue.known(asked)  # what was taken once stays so, whatever is there now
            if known is None:
                raise
            return known
        self._wake()
        return job

    def find(self, caller: Caller, job_id: str) -> Job:
        """Find a job that the caller may see: its own, or any for an administrator.

        Raises:
            NotFoundError: there is none, or it is another's.
        """
        return self._queue.find(_checked(job_id), _only(caller))

    def listing(
        self,
        caller: Caller,
        *,
        state: State | None,
        workflow: str | None,
        before: int | None,
        limit: int,
    ) -> list[Row[Any]]:
        """List the jobs that the caller may see, the newest first.

        Raises:
            InvalidError: there is no such workflow.
        """
        name = None if workflow is None else find_offer(workflow).name
        return list(self._queue.listing(Wanted(_only(caller), state, name, before, limit)))

    def cancel(self, caller: Caller, job_id: str) -> Job:
        """Cancel a job that the caller may see.

        Raises:
            NotFoundError: there is none, or it is another's.
            StateError: it has ended.
        """
        job = self._queue.cancel(_checked(job_id), _only(caller), caller.name)
        self._wake()
        return job

    def outcome(self, caller: Caller, job: Job) -> dict[str, Any]:
        """Give the outcome's document; what names patients only to callers with `phi`.

        Raises:
            ForbiddenError: the workflow works on labels of patients, and may quote them anywhere.
            StateError: it has not ended.
            NotFoundError: it ended without one.
        """
        document = self._queue.outcome(job)
        if is_identifying(job.workflow):
            caller.require("phi")
        return document if "phi" in caller.scopes else _without_patients(document)

    def lines(self, job: Job, after: int, limit: int) -> list[JobLine]:
        """Give lines of a job's log."""
        with self._database.session() as session:
            return read_lines(session, job.number, after, limit)

    def outputs(self, job: Job) -> list[tuple[Path, str]]:
        """Give the places that a job writes, and what clients call them."""
        try:
            return self._places.outputs(find_offer(job.workflow), job.config)
        except InvalidError:  # it has become something that no client may name
            return []

    def written(self, job: Job) -> list[Written]:
        """List the files that a job wrote, and no other job that ran at the same time.

        A place within this job's that another one named is that one's. One place that both named,
        or that lies in the other's, is nobody's if they are of two tokens, or if the other one may
        name patients.
        """
        outputs, archives = self.outputs(job), self._places.archives()
        places, taken = {path for path, _ in outputs}, set[Path]()
        for other in self._queue.beside(job, SLACK_S):
            claims = self._places.claims(other.workflow, other.config, archives)
            apart = _keeps_apart(job, other)
            taken |= {one for one in claims if apart or places & {*one.parents}}
        return list_written(outputs, job_span(job), taken)

    def told(self, job: Job, text: str) -> str:
        """Put the places in a text into the client's names."""
        return self._names(job).told(text)

    def told_json(self, job: Job, text: str) -> str:
        """Do that in a JSON document, of which the cluster's address is left out."""
        try:
            document = json.loads(text)
        except ValueError:  # it is being written, or has lines of documents
            return self.told(job, text)
        return json.dumps(_without_cluster(self._names(job).document(document)), indent=1) + "\n"

    def _names(self, job: Job) -> Names:
        return self._places.names([(str(path), word) for path, word in self.outputs(job)])

    def depth(self) -> dict[str, int]:
        """Count the jobs in each state."""
        return self._queue.depth()


def _keeps_apart(job: Job, other: Row[Any]) -> bool:
    names_patients = is_identifying(other.workflow) and not is_identifying(job.workflow)
    return job.token_id != other.token_id or names_patients


def _token(caller: Caller) -> int:
    return LOCAL if caller.token_id is None else caller.token_id


def _only(caller: Caller) -> int | None:
    return None if "admin" in caller.scopes else _token(caller)


def _checked(job_id: str) -> str:
    if not _ID.fullmatch(job_id):
        raise NotFoundError(f"there is no job {job_id[:40]!r}")
    return job_id


def _without_cluster(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: known for name, known in value.items() if name != "scheduler"}
        return {name: _without_cluster(known) for name, known in kept.items()}
    return [_without_cluster(known) for known in value] if isinstance(value, list) else value


def _without_patients(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: None
            if name in IDENTIFYING and not isinstance(known, int | float)
            else _without_patients(known)
            for name, known in value.items()
        }
    return [_without_patients(known) for known in value] if isinstance(value, list) else value
