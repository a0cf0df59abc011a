"""Migrations make exactly the tables of the code, on both databases, whoever comes first."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

import service.auth.tables
import service.jobs.tables
import service.slides.tables  # noqa: F401 - imported for their tables
from service.database import Base, Database, default_url
from service.schema import SCRIPTS, migrate
from tests.service.postgres import postgres  # noqa: F401 - a fixture


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return default_url(tmp_path)
    found: str = request.getfixturevalue("postgres").new_database()
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


def tables(database: Database) -> set[str]:
    return set(sa.inspect(database.engine).get_table_names())


def test_migrations_make_the_tables_of_the_code(database: Database) -> None:
    migrate(database)
    assert tables(database) == {*Base.metadata.tables, "alembic_version"}
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    migrate(database)
    before = tables(database)
    migrate(database)
    assert tables(database) == before


def test_every_migration_can_be_taken_back(database: Database) -> None:
    migrate(database)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with database.writing() as session:
        config.attributes["connection"] = session.connection()
        command.downgrade(config, "base")
    assert tables(database) == {"alembic_version"}


def come_up(url: str, gate: "multiprocessing.synchronize.Barrier") -> None:
    opened = Database(url)
    gate.wait()
    migrate(opened)
    opened.close()


def test_processes_that_start_at_once_all_come_up(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(4)
    started = [spawn.Process(target=come_up, args=(url, gate)) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0, 0, 0]
    opened = Database(url)
    assert tables(opened) == {*Base.metadata.tables, "alembic_version"}
    opened.close()
