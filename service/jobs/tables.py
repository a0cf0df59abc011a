"""Tables of this folder: jobs, what was said of them, and what came of them."""

import datetime
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("succeeded", "failed", "cancelled")
"""States that a job never leaves."""
UNDER_WAY: tuple[State, ...] = ("queued", "running")

LOCAL = 0
"""Stands for the token of a caller of this machine, where there are no tokens."""


class Job(Base):
    """A job: what was asked for, who runs it, and how far it is."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("token_id", "key", name="uq_jobs_token_id_key"),
        Index("ix_jobs_state_rank_number", "state", "rank", "number"),
        Index("ix_jobs_token_id_state", "token_id", "state"),
        Index("ix_jobs_token_id_number", "token_id", "number"),
        Index("ix_jobs_owner", "owner"),
    )

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Counts jobs in the order in which they came; clients know the ID alone."""
    id: Mapped[str] = mapped_column(String(32), unique=True)
    token_id: Mapped[int] = mapped_column(Integer)
    submitted_by: Mapped[str] = mapped_column(String(100))
    key: Mapped[str | None] = mapped_column(String(200))
    """The client's Idempotency-Key."""
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of what was asked for."""
    workflow: Mapped[str] = mapped_column(String(60))
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    """In the client's names of places."""
    rank: Mapped[int] = mapped_column(Integer)
    """The priority times -1, so that what comes first is the smallest."""
    state: Mapped[str] = mapped_column(String(10))
    created: Mapped[datetime.datetime] = mapped_column(DateTime)
    not_before: Mapped[datetime.datetime] = mapped_column(DateTime)
    """When it may be begun, or begun again."""
    started: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    finished: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    attempt: Mapped[int] = mapped_column(Integer)
    """How often it was begun; only whoever began it last may say what became of it."""
    losses: Mapped[int] = mapped_column(Integer)
    """How often it was lost by what is no fault of its own, and so tried again."""
    owner: Mapped[str | None] = mapped_column(String(80))
    """The process of the service that runs it."""
    lease_until: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    """Without a sign of life of its owner until then, it is lost."""
    cancel: Mapped[bool] = mapped_column(Boolean)
    """Whether somebody asked to cancel it while it ran."""
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    lines: Mapped[int] = mapped_column(Integer)
    """How many lines its log has."""
    error: Mapped[str | None] = mapped_column(Text)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    has_outcome: Mapped[bool] = mapped_column(Boolean)


class JobLine(Base):
    """A line of a job's log."""

    __tablename__ = "job_lines"

    job: Mapped[int] = mapped_column(ForeignKey("jobs.number"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """From 1 on, without gaps, in the order in which they became visible."""
    at: Mapped[datetime.datetime] = mapped_column(DateTime)
    level: Mapped[str] = mapped_column(String(10))
    """`state` for those that the service writes itself, else debug, info, warning or error."""
    text: Mapped[str] = mapped_column(Text)


class JobOutcome(Base):
    """What came of a job; apart from it, as it may be long."""

    __tablename__ = "job_outcomes"

    job: Mapped[int] = mapped_column(ForeignKey("jobs.number"), primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
