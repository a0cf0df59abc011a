"""The database: SQLite (WAL) by default, PostgreSQL by URL; sessions; the base of all tables."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

BUSY_S = 30
"""How long a writer waits for another one before SQLite gives up."""


class Base(DeclarativeBase):
    """Base of the tables of this package; each lies in the folder that uses it."""


def now() -> datetime.datetime:
    """The time in UTC without a zone, as all tables store it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def default_url(work: Path) -> str:
    """URL of the SQLite file in the service's folder."""
    return f"sqlite:///{work / 'service.sqlite'}"


class Database:
    """Sessions on one database; safe to share between threads.

    Args:
        url: as SQLAlchemy takes it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _new_engine(url)
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        self._immediate = self.engine.execution_options(immediate=True)
        self._writing = sessionmaker(self._immediate, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file, which one process writes at a time."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that only reads."""
        with self._reading.begin() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction that may write; on SQLite it waits for its turn at once.

        There, one that reads and then writes would fail if another had written in between.
        """
        with self._writing.begin() as session:
            yield session

    @contextmanager
    def inserting(self) -> Iterator[Connection]:
        """The same without a session, which would be half the cost of adding a row or two."""
        with self._immediate.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _new_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
    engine = create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by Python's module
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
