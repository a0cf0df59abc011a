"""Whether the service can do its work now: database, storage, cluster."""

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from fastapi import FastAPI
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from service.archives import Archives
from service.auth.tables import TokenRow
from service.database import Database
from service.errors import ServiceError
from tiling.errors import TilingError

log = logging.getLogger(__name__)

FRESH_S = 1.0
"""What was found counts for so long, so that asking often costs nothing."""
PATIENCE_S = 5.0
"""Who has not answered after this time does not answer."""

Check = Callable[[], None]


class Cluster(Protocol):
    """What this needs of the workers."""

    def check(self) -> None:
        """Raise an UnavailableError where jobs cannot run."""


class Readiness:
    """Asks everything that requests and jobs need; at most once a second, whoever asks.

    Args:
        checks: each raises where its part fails.
    """

    def __init__(self, checks: dict[str, Check]) -> None:
        self._checks = checks
        self._lock = asyncio.Lock()
        self._at = -FRESH_S
        self._found: dict[str, str] = {}
        self._running: dict[str, asyncio.Future[str]] = {}

    async def ask(self) -> dict[str, str]:
        """Say of every part `ok`, or what is wrong with it."""
        async with self._lock:
            if time.monotonic() - self._at >= FRESH_S:
                names = list(self._checks)
                answers = await asyncio.gather(*(self._answer(name) for name in names))
                self._found = dict(zip(names, answers, strict=True))
                self._at = time.monotonic()
            return self._found

    async def _answer(self, name: str) -> str:
        """Ask one part; one that still hangs from the last time is not asked a second time."""
        running = self._running.get(name)
        if running is None or running.done():
            running = asyncio.ensure_future(asyncio.to_thread(_say, name, self._checks[name]))
            self._running[name] = running
        done, _ = await asyncio.wait([running], timeout=PATIENCE_S)
        return running.result() if done else f"{name} has not answered for {PATIENCE_S:g} s"


def checks_of(app: FastAPI) -> dict[str, Check]:
    """Give the checks of an application."""
    return {
        "database": lambda: check_database(app.state.database),
        "storage": lambda: check_storage(app.state.work, app.state.archives),
        "cluster": lambda: check_cluster(getattr(app.state, "cluster", None)),
    }


def check_database(database: Database) -> None:
    """Write nothing, but in a way that only a database which can be written to lets pass."""
    with database.writing() as session:
        session.execute(update(TokenRow).where(TokenRow.id == -1).values(name=""))


def check_storage(work: Path, archives: Archives) -> None:
    """Write a file, and open every archive."""
    with tempfile.TemporaryFile(dir=work) as file:
        file.write(b"x" * 4096)
        file.flush()
    for name in archives.locations():
        archives.open(name)


def check_cluster(cluster: Cluster | None) -> None:
    """Ask the workers, where this process has any."""
    if cluster is not None:
        cluster.check()


def _say(name: str, check: Check) -> str:
    try:
        check()
    except (ServiceError, TilingError, SQLAlchemyError, OSError) as err:
        log.warning("%s is not ready: %s", name, err)  # the answer tells no paths and addresses
        return WORDS[name]
    return "ok"


WORDS = {
    "database": "the database cannot be written to",
    "storage": "the folder of the service cannot be written to, or an archive cannot be read",
    "cluster": "the cluster that runs jobs does not answer",
}


def readiness_of(app: FastAPI) -> Readiness:
    """Give what `area.opened` made."""
    return cast(Readiness, app.state.readiness)
