"""The schema of the database, brought up to date by Alembic when the service starts."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from service.database import Database

SCRIPTS = Path(__file__).parent / "migrations"

LOCK = 0x6D69_6372_6F74
"""Number of the lock that a process holds while it migrates; any will do that nobody else uses."""


def migrate(database: Database) -> None:
    """Bring the tables to the newest revision; of several processes one does it at a time.

    On SQLite the transaction itself keeps the others out; PostgreSQL is asked for a lock, which
    ends with the transaction, and so with a process that dies.
    """
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with database.writing() as session:
        if not database.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")
