"""The log of a job: lines numbered without gaps, as each is written with its job's row locked."""

import datetime
from collections.abc import Iterable

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from service.database import now
from service.jobs.tables import Job, JobLine

MOST = 10_000
"""Lines that are kept of a job; a library that warns of every patch must not fill the database."""
LONGEST = 4_000
"""Characters of a line."""
STATE = "state"
"""Level of the lines that tell of the job itself; they are written whatever was said before."""

Said = tuple[str, str]
"""Level and text."""


def add_lines(session: Session, job: Job, said: Iterable[Said]) -> None:
    """Append lines to the log of a job that this transaction has locked."""
    at, rows = now(), []
    for level, text in said:
        if job.lines >= MOST and level != STATE:
            continue
        job.lines += 1
        if job.lines == MOST and level != STATE:
            level, text = STATE, "the log is full: no more of what the job says is kept"
        rows.append(_row(job.number, job.lines, at, (level, text)))
    if rows:
        session.execute(insert(JobLine), rows)


def read_lines(session: Session, job: int, after: int, limit: int) -> list[JobLine]:
    """Give the lines with numbers above `after`, at most `limit` of them."""
    found = select(JobLine).where(JobLine.job == job, JobLine.number > after)
    return list(session.scalars(found.order_by(JobLine.number).limit(limit)))


def _row(job: int, number: int, at: datetime.datetime, said: Said) -> dict[str, object]:
    level, text = said
    text = storable(text)[:LONGEST]
    return {"job": job, "number": number, "at": at, "level": level, "text": text}


def storable(text: str) -> str:
    """Make a text one that databases keep: without NUL, and without halves of characters.

    The latter come of file names that are not UTF-8.
    """
    return text.replace("\0", "").encode("utf-8", "replace").decode()
