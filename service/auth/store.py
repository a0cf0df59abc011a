"""Tokens in the database: making, listing and revoking them."""

import datetime
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.auth.access import SCOPES, Scope
from service.auth.keys import Key, new_secret
from service.auth.tables import TokenRow
from service.database import Database, now
from service.errors import InvalidError, NotFoundError


@dataclass(frozen=True)
class Token:
    """A token without its secret; times in UTC."""

    id: int
    name: str
    scopes: tuple[Scope, ...]
    created: datetime.datetime
    expires: datetime.datetime | None
    last_used: datetime.datetime | None
    revoked: datetime.datetime | None

    @property
    def is_valid(self) -> bool:
        """Whether it lets anybody in."""
        return self.revoked is None and (self.expires is None or self.expires > now())


def create_token(
    database: Database, name: str, scopes: Collection[Scope], days: float | None = None
) -> tuple[Token, Key]:
    """Make a token; its secret is known to the caller alone from now on.

    Args:
        database: where it is kept.
        name: whose it is, for people.
        scopes: what it allows.
        days: until it expires; by default never.

    Raises:
        InvalidError: no scopes, or none of that name.
    """
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidError(f"scopes are {', '.join(SCOPES)}, got {' '.join(scopes) or 'none'}")
    secret, made = new_secret(), now()
    row = TokenRow(
        name=name,
        digest=Key(0, secret).digest,
        scopes=" ".join(scope for scope in SCOPES if scope in scopes),
        created=made,
        expires=None if days is None else made + datetime.timedelta(days=days),
    )
    with database.writing() as session:
        session.add(row)
        session.flush()
        return to_token(row), Key(row.id, secret)


def list_tokens(database: Database) -> list[Token]:
    """Give all tokens, revoked ones too, in the order in which they were made."""
    with database.session() as session:
        return [to_token(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.id))]


def page_tokens(database: Database, after: int, limit: int) -> list[Token]:
    """Give tokens with a greater ID than this one."""
    query = select(TokenRow).where(TokenRow.id > after).order_by(TokenRow.id).limit(limit)
    with database.session() as session:
        return [to_token(row) for row in session.scalars(query)]


def revoke_token(database: Database, token_id: int) -> Token:
    """Let a token open nothing any more; revoking it again changes nothing.

    Raises:
        NotFoundError: there is none of this ID.
    """
    with database.writing() as session:
        row = session.get(TokenRow, token_id)
        if row is None:
            raise NotFoundError(f"there is no token {token_id}")
        row.revoked = row.revoked or now()
        return to_token(row)


def any_token(session: Session) -> bool:
    """Whether a token was ever made; one that is revoked or expired still closes the door."""
    return session.scalar(select(TokenRow.id).limit(1)) is not None


def to_token(row: TokenRow) -> Token:
    """Give the row without its digest."""
    scopes = tuple(scope for scope in SCOPES if scope in row.scopes.split())
    return Token(row.id, row.name, scopes, row.created, row.expires, row.last_used, row.revoked)
