"""Claims, leases and ends, on both databases: a job has one owner, and ends once."""

import datetime
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.database import Database, now
from service.jobs.claims import TRIES, Claims, End
from service.jobs.log import read_lines
from service.jobs.queue import Queue
from service.jobs.tables import Job
from service.jobs.timing import Timing
from tests.service.jobs.conftest import add, ask

QUICK = Timing(first_wait_s=0.0)


def claims_of(database: Database, name: str = "me", timing: Timing = QUICK) -> Claims:
    return Claims(database, name, timing)


def expire(database: Database, job: Job) -> None:
    """Let the lease of a job be over."""
    with database.writing() as session:
        late = now() - datetime.timedelta(seconds=1)
        session.get_one(Job, job.number).lease_until = late


def said(database: Database, job: Job) -> list[str]:
    with database.session() as session:
        return [line.text for line in read_lines(session, job.number, 0, 100)]


def test_higher_priorities_come_first_and_then_the_oldest(queue: Queue, database: Database) -> None:
    low = add(queue, priority=-1)
    usual = add(queue, 2)
    high = add(queue, priority=5)
    claims = claims_of(database)
    order = [claim.id for claim in iter(claims.claim, None)]
    assert order == [job.id for job in (*high, *usual, *low)]


def test_many_owners_share_jobs_without_any_twice(queue: Queue, database: Database) -> None:
    jobs = add(queue, 40)

    def work(number: int) -> list[str]:
        claims = claims_of(database, f"owner {number}")
        return [claim.id for claim in iter(claims.claim, None)]

    with ThreadPoolExecutor(6) as pool:
        taken = [job_id for found in pool.map(work, range(6)) for job_id in found]
    # one that was passed over while another owner looked at it is still there
    taken += [claim.id for claim in iter(claims_of(database).claim, None)]
    assert Counter(taken) == Counter(job.id for job in jobs)


def test_workflows_can_be_left_out(queue: Queue, database: Database) -> None:
    add(queue, name="tile")
    (report,) = add(queue, name="report")
    claim = claims_of(database).claim(without=["tile", "embed"])
    assert claim is not None
    assert claim.id == report.id
    assert claims_of(database).claim(without=["tile"]) is None


def test_a_job_is_lost_with_its_lease_and_only_its_new_owner_may_end_it(
    queue: Queue, database: Database
) -> None:
    (job,) = add(queue)
    first, second = claims_of(database, "first"), claims_of(database, "second")
    old = first.claim()
    assert old is not None
    assert second.reap() == 0
    expire(database, job)
    assert second.reap() == 1
    new = second.claim()
    assert new is not None
    assert (new.id, new.attempt) == (job.id, 2)
    assert first.beat([old]) == {}
    assert not first.tell(old, {"share": 0.5}, [("info", "late")])
    assert not first.end(old, End("succeeded"))
    assert second.end(new, End("succeeded", exit_code=0))
    assert not second.end(new, End("failed"))
    assert queue.find(job.id, 1).state == "succeeded"
    assert said(database, job) == [
        "begun",
        "the process of the service that ran it died; it is begun again in 0 s",
        "begun, attempt 2",
        "succeeded",
    ]


def test_one_owner_does_not_mistake_an_earlier_attempt_for_its_own(
    queue: Queue, database: Database
) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    old = claims.claim()
    expire(database, job)
    claims.reap()
    new = claims.claim()
    assert old is not None
    assert new is not None
    assert claims.beat([old, new]) == {(new.number, 2): False}
    assert not claims.end(old, End("succeeded"))
    assert claims.end(new, End("succeeded"))


def test_a_sign_of_life_keeps_a_lease(queue: Queue, database: Database) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    claim = claims.claim()
    expire(database, job)
    assert claim is not None
    assert claims.beat([claim]) == {(claim.number, 1): False}
    assert claims.reap() == 0


def test_a_job_that_is_always_lost_is_given_up(queue: Queue, database: Database) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    for _ in range(TRIES):
        claim = claims.claim()
        assert claim is not None
        claims.end(claim, End("lost", "its process died by SIGSEGV"))
    found = queue.find(job.id, 1)
    assert (found.state, found.attempt) == ("failed", TRIES)
    assert found.error == f"given up after {TRIES} attempts: its process died by SIGSEGV"


def test_what_it_told_at_last_is_kept(queue: Queue, database: Database) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    for number in range(TRIES):
        claim = claims.claim()
        assert claim is not None
        claims.end(claim, End("lost", "the disk was full", 3, {"attempt": number}))
    found = queue.find(job.id, 1)
    assert (found.state, found.exit_code) == ("failed", 3)
    assert queue.outcome(found) == {"attempt": TRIES - 1}


def test_a_lost_job_waits_longer_each_time(queue: Queue, database: Database) -> None:
    (job,) = add(queue)
    claims = claims_of(database, timing=Timing(first_wait_s=100.0, longest_wait_s=250.0))
    waits = []
    for _ in range(3):
        claim = claims.claim()
        assert claim is not None
        claims.end(claim, End("lost", "x"))
        assert claims.claim() is None
        waits.append((queue.find(job.id, 1).not_before - now()).total_seconds())
        with database.writing() as session:
            session.get_one(Job, job.number).not_before = now()
    assert waits == pytest.approx([100, 200, 250], abs=30)


def test_a_job_that_is_put_back_waits_for_nothing_and_is_not_blamed(
    queue: Queue, database: Database
) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    for _ in range(TRIES + 1):
        claim = claims.claim()
        assert claim is not None
        claims.end(claim, End("released"))
    found = queue.find(job.id, 1)
    assert (found.state, found.losses, found.owner) == ("queued", 0, None)


def test_an_owner_learns_that_its_job_should_be_cancelled(queue: Queue, database: Database) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    claim = claims.claim()
    assert claim is not None
    found = queue.cancel(job.id, 1, "someone")
    assert (found.state, found.cancel) == ("running", True)
    assert claims.beat([claim]) == {(claim.number, 1): True}
    claims.end(claim, End("cancelled"))
    assert queue.find(job.id, 1).state == "cancelled"
    assert said(database, job) == ["begun", "someone asked to cancel it", "cancelled"]


@pytest.mark.parametrize("state", ["lost", "released", "failed"])
def test_a_job_that_should_be_cancelled_is_not_begun_again(
    state: str, queue: Queue, database: Database
) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    claim = claims.claim()
    queue.cancel(job.id, 1, "someone")
    assert claim is not None
    claims.end(claim, End(state))
    assert queue.find(job.id, 1).state == "cancelled"


def test_a_job_whose_owner_died_before_it_could_cancel_is_cancelled(
    queue: Queue, database: Database
) -> None:
    (job,) = add(queue)
    claims_of(database, "dead").claim()
    queue.cancel(job.id, 1, "someone")
    expire(database, job)
    assert claims_of(database).reap() == 1
    assert queue.find(job.id, 1).state == "cancelled"


def test_a_job_that_stops_though_nobody_asked_is_begun_again(
    queue: Queue, database: Database
) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    claim = claims.claim()
    assert claim is not None
    claims.end(claim, End("cancelled"))
    assert queue.find(job.id, 1).state == "queued"


def test_one_that_succeeds_while_it_should_be_cancelled_has_succeeded(
    queue: Queue, database: Database
) -> None:
    (job,) = add(queue)
    claims = claims_of(database)
    claim = claims.claim()
    queue.cancel(job.id, 1, "someone")
    assert claim is not None
    claims.end(claim, End("succeeded", exit_code=0, document={}))
    assert queue.find(job.id, 1).state == "succeeded"


def test_two_that_take_a_dead_owners_jobs_take_each_once(queue: Queue, database: Database) -> None:
    jobs = add(queue, 20)
    dead = claims_of(database, "dead")
    assert len([claim for claim in iter(dead.claim, None)]) == 20  # noqa: C416 - they are counted
    for job in jobs:
        expire(database, job)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: claims_of(database, f"o{n}").reap(), range(8)))
    assert sum(found) + claims_of(database).reap() == 20
    assert {queue.find(job.id, None).losses for job in jobs} == {1}
    assert ask().digest == ask().digest
