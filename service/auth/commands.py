"""What `microtome token` does; called by name, because workflows know nothing of this package."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from service.auth.access import Scope
from service.auth.documents import TokenOut
from service.auth.store import Token, create_token, list_tokens, revoke_token
from service.database import Database
from service.errors import ServiceError
from service.schema import migrate
from service.work import database_url
from workflows.errors import UsageError
from workflows.serve import ServeConfig


def create(
    settings: ServeConfig, name: str, scopes: Collection[Scope], days: float | None
) -> dict[str, Any]:
    """Make a token.

    Raises:
        UsageError: the database cannot be used.
    """
    with _database(settings, make=True) as database:
        token, key = create_token(database, name, scopes, days)
    return {"token": str(key), "about": _document(token)}


def listed(settings: ServeConfig) -> list[dict[str, Any]]:
    """Give all tokens.

    Raises:
        UsageError: the database cannot be used.
    """
    with _database(settings) as database:
        return [_document(token) for token in list_tokens(database)]


def revoke(settings: ServeConfig, token_id: int) -> dict[str, Any]:
    """Revoke a token.

    Raises:
        UsageError: there is none of this ID, or the database cannot be used.
    """
    with _database(settings) as database:
        return _document(revoke_token(database, token_id))


@contextmanager
def _database(settings: ServeConfig, *, make: bool = False) -> Iterator[Database]:
    try:
        if not make and settings.database is None and not Path(settings.work).is_dir():
            raise UsageError(f"--work {settings.work}: there is no such folder")
        database = Database(database_url(settings))
        try:
            migrate(database)
            yield database
        finally:
            database.close()
    except ServiceError as err:
        raise UsageError(str(err)) from err
    except (SQLAlchemyError, CommandError) as err:
        raise UsageError(f"cannot use the database of the service: {err}") from err


def _document(token: Token) -> dict[str, Any]:
    return TokenOut.of(token).model_dump(mode="json")
