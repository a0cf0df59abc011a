"""Tokens, sessions and the record of who did what, as JSON."""

import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.auth.access import Scope
from service.auth.store import Token

Utc = Annotated[
    datetime.datetime,
    AfterValidator(lambda at: at.replace(tzinfo=datetime.UTC, microsecond=0)),
]
"""A time of the database with its zone, in whole seconds."""

TIME = "2026-01-31T12:00:00Z"


class Me(BaseModel):
    """Who asks."""

    name: str = Field(examples=["viewer"])
    scopes: list[Scope] = Field(examples=[["read", "submit"]])
    token_id: int | None = Field(examples=[1])
    """Null where the service has no token."""


class Session(BaseModel):
    """A token for the viewer's cookie."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200, examples=["mt_1_c2VjcmV0LW9mLTQzLWNoYXJhY3RlcnM"])


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00]+$", examples=["viewer"])
    """Whose it is."""
    scopes: list[Scope] = Field(min_length=1, max_length=4, examples=[["read"]])
    """What it allows."""
    days: float | None = Field(default=None, gt=0, le=36_500, examples=[90])
    """Until it expires; by default never."""


class TokenOut(BaseModel):
    """A token without its secret."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["viewer"])
    scopes: list[Scope] = Field(examples=[["read"]])
    created: Utc = Field(examples=[TIME])
    expires: Utc | None = None
    last_used: Utc | None = None
    revoked: Utc | None = None
    state: Literal["valid", "expired", "revoked"] = Field(examples=["valid"])

    @classmethod
    def of(cls, token: Token) -> "TokenOut":
        """Show a token."""
        gone: Literal["expired", "revoked"] = "revoked" if token.revoked else "expired"
        return cls(
            id=token.id,
            name=token.name,
            scopes=list(token.scopes),
            created=token.created,
            expires=token.expires,
            last_used=token.last_used,
            revoked=token.revoked,
            state="valid" if token.is_valid else gone,
        )


class MadeToken(TokenOut):
    """A new token with its secret, this once."""

    token: str = Field(examples=["mt_1_c2VjcmV0LW9mLTQzLWNoYXJhY3RlcnM"])


class AuditEntry(BaseModel):
    """One thing that somebody did."""

    id: int = Field(examples=[1])
    at: Utc = Field(examples=[TIME])
    caller: str = Field(examples=["viewer"])
    token_id: int | None = Field(examples=[1])
    action: str = Field(examples=["slide.register"])
    subject: str = Field(examples=["CMU-1"])
    detail: str = Field(examples=[""])
    address: str = Field(examples=["127.0.0.1"])
    request_id: str = Field(examples=["4f1c2d3e"])
