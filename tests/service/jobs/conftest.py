"""Jobs on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database import Database, default_url
from service.jobs.queue import Asked, Queue
from service.jobs.tables import Job
from service.schema import migrate
from tests.service.postgres import postgres  # noqa: F401 - a fixture

PER_TOKEN = 1000


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return default_url(tmp_path)
    found: str = request.getfixturevalue("postgres").new_database()
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, PER_TOKEN)


def ask(name: str = "verify", token: int = 1, priority: int = 0, key: str | None = None) -> Asked:
    """What a client might ask for."""
    return Asked(token, f"token-{token}", name, {"archive": "demo.zarr"}, priority, key)


def add(queue: Queue, count: int = 1, **asked: object) -> list[Job]:
    """Submit jobs."""
    return [queue.submit(ask(**asked))[0] for _ in range(count)]  # type: ignore[arg-type]  # passed on
