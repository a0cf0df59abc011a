"""Submitting, listing and cancelling, on both databases."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.database import Database
from service.errors import NotFoundError, StateError, TooManyError
from service.jobs.claims import Claims, End
from service.jobs.log import LONGEST, MOST, add_lines, read_lines
from service.jobs.queue import Queue, Wanted
from service.jobs.tables import Job
from service.jobs.timing import Timing
from tests.service.jobs.conftest import add, ask


def test_a_job_waits_first(queue: Queue) -> None:
    job, is_new = queue.submit(ask())
    assert is_new
    assert (job.state, job.attempt, job.lines) == ("queued", 0, 0)
    assert queue.find(job.id, 1).config == {"archive": "demo.zarr"}
    assert queue.depth() == {
        "queued": 1,
        "running": 0,
        "succeeded": 0,
        "failed": 0,
        "cancelled": 0,
    }


def test_the_same_key_gives_the_same_job(queue: Queue) -> None:
    first, _ = queue.submit(ask(key="k"))
    again, is_new = queue.submit(ask(key="k"))
    assert (again.id, is_new) == (first.id, False)
    assert queue.depth()["queued"] == 1


def test_a_key_for_another_job_is_refused(queue: Queue) -> None:
    first, _ = queue.submit(ask(key="k"))
    with pytest.raises(StateError, match=f"used for another job, {first.id}"):
        queue.submit(ask("report", key="k"))
    with pytest.raises(StateError, match="used for another job"):
        queue.submit(ask(key="k", priority=1))


def test_keys_are_of_one_token(queue: Queue) -> None:
    first, _ = queue.submit(ask(key="k"))
    other, is_new = queue.submit(ask("report", token=2, key="k"))
    assert is_new
    assert other.id != first.id


def test_one_key_at_the_same_moment_makes_one_job(queue: Queue) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: queue.submit(ask(key="k")), range(24)))
    assert len({job.id for job, _ in found}) == 1
    assert [is_new for _, is_new in found].count(True) == 1


def test_a_job_that_cannot_be_noted_is_not_taken(queue: Queue) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        queue.submit(ask(), full)
    assert queue.depth()["queued"] == 0


def test_a_token_has_a_limit_that_no_race_passes(database: Database) -> None:
    queue = Queue(database, per_token=5)

    def submit(number: int) -> bool:
        try:
            queue.submit(ask(token=7))
        except TooManyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(24))) == 5
    queue.submit(ask(token=8))
    job = queue.listing(Wanted(token_id=7))[0]
    queue.cancel(job.id, 7, "someone")
    queue.submit(ask(token=7))


def test_a_job_of_another_token_is_not_found(queue: Queue) -> None:
    job, _ = queue.submit(ask(token=1))
    for attempt in (
        lambda: queue.find(job.id, 2),
        lambda: queue.cancel(job.id, 2, "someone"),
        lambda: queue.find("f" * 32, None),
    ):
        with pytest.raises(NotFoundError, match="there is no job"):
            attempt()
    assert queue.find(job.id, None).id == job.id


def test_lists_have_the_newest_first_and_only_what_is_wanted(queue: Queue) -> None:
    mine = add(queue, 5) + add(queue, 2, name="report")
    theirs = add(queue, 3, token=2)
    every = [job.id for job in queue.listing(Wanted(limit=100))]
    assert every == [job.id for job in reversed(mine + theirs)]
    assert [job.id for job in queue.listing(Wanted(token_id=2))] == [
        job.id for job in reversed(theirs)
    ]
    reports = queue.listing(Wanted(token_id=1, workflow="report"))
    assert [job.id for job in reports] == [mine[6].id, mine[5].id]
    queue.cancel(mine[0].id, 1, "someone")
    assert [job.id for job in queue.listing(Wanted(state="cancelled"))] == [mine[0].id]
    page = queue.listing(Wanted(before=mine[3].number, limit=2))
    assert [job.id for job in page] == [mine[2].id, mine[1].id]


def test_a_waiting_job_is_cancelled_at_once(queue: Queue) -> None:
    job, _ = queue.submit(ask())
    cancelled = queue.cancel(job.id, 1, "someone")
    assert cancelled.state == "cancelled"
    assert cancelled.finished is not None
    assert queue.cancel(job.id, 1, "someone").state == "cancelled"


def test_a_job_that_has_ended_is_not_cancelled(queue: Queue, database: Database) -> None:
    job, _ = queue.submit(ask())
    claims = Claims(database, "me", Timing())
    claim = claims.claim()
    assert claim is not None
    assert claims.end(claim, End("succeeded", exit_code=0, document={"a": [1, None]}))
    with pytest.raises(StateError, match="has ended: it succeeded"):
        queue.cancel(job.id, 1, "someone")
    assert queue.outcome(queue.find(job.id, 1)) == {"a": [1, None]}


def test_there_is_no_outcome_before_the_end_and_none_of_a_cancelled_job(queue: Queue) -> None:
    job, _ = queue.submit(ask())
    with pytest.raises(StateError, match="has not ended: it is queued"):
        queue.outcome(job)
    cancelled = queue.cancel(job.id, 1, "someone")
    with pytest.raises(NotFoundError, match="was cancelled without an outcome"):
        queue.outcome(cancelled)


def test_a_log_is_numbered_cut_and_never_too_long(queue: Queue, database: Database) -> None:
    job, _ = queue.submit(ask())
    with database.writing() as session:
        found = session.get_one(Job, job.number)
        add_lines(session, found, [("info", "x" * 2 * LONGEST), ("info", "a\0b")])
        add_lines(session, found, [("info", "more")] * MOST)
        add_lines(session, found, [("state", "succeeded")])
    with database.session() as session:
        lines = read_lines(session, job.number, 0, MOST * 2)
    assert [line.number for line in lines] == list(range(1, MOST + 2))
    assert (len(lines[0].text), lines[1].text) == (LONGEST, "ab")
    assert [line.text for line in lines[-3:]] == [
        "more",
        "the log is full: no more of what the job says is kept",
        "succeeded",
    ]
