"""Who asks: by a bearer token, by the viewer's cookie, or from this machine where no token is."""

import datetime

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool

from service.auth.access import LOCAL, Caller
from service.auth.keys import Key, read_key
from service.auth.known import Entry, KnownTokens
from service.auth.origins import (
    SAFE,
    host_name,
    is_local,
    is_loopback,
    is_other_site,
    is_own_page,
)
from service.database import Database
from service.errors import ForbiddenError, UnauthorizedError
from workflows.serve import ServeConfig

COOKIE = "microtome_session"
"""Of the viewer; holds a token."""


class Tokens:
    """What tells callers apart; safe to share between threads.

    Args:
        database: where tokens are kept.
        settings: names of this service, and origins that may ask it.
    """

    def __init__(self, database: Database, settings: ServeConfig) -> None:
        self.known = KnownTokens(database)
        self._settings = settings

    async def identify(
        self, request: Request, credentials: HTTPAuthorizationCredentials | None
    ) -> Caller:
        """Find out who asks.

        Raises:
            UnauthorizedError: no token, or one that is not valid.
            ForbiddenError: a page of another site asks for something with side effects.
        """
        if credentials is not None:
            return await self.check(credentials.credentials)
        cookie = request.cookies.get(COOKIE)
        if cookie is not None and not await self._is_open():
            if request.method not in SAFE and not is_own_page(request):
                raise ForbiddenError("the viewer's cookie counts only for pages of this service")
            return await self.check(cookie)
        if request.headers.get("authorization") or not await self._is_open():
            raise UnauthorizedError("this needs a token: Authorization: Bearer mt_…")
        return self._local(request)

    async def check(self, token: str) -> Caller:
        """Find out whose token it is.

        Raises:
            UnauthorizedError: nobody's, or it is revoked or expired.
        """
        key = read_key(token)
        if key is None:
            raise UnauthorizedError("this is no token of this service")
        entry = self.known.recall(key.token_id)
        if entry is None:
            entry = await run_in_threadpool(self.known.look_up, key)
        caller = _caller(entry, key)
        if caller is None:
            raise UnauthorizedError("the token is not valid: unknown, revoked or expired")
        return caller

    def recognise(self, token: str) -> int | None:
        """ID of a token that was found valid a moment ago; asks no database."""
        key = read_key(token)
        entry = None if key is None else self.known.recall(key.token_id)
        return key.token_id if key and entry and entry.opens(key) else None

    def forget(self) -> None:
        """Read everything again, after tokens were changed in this process."""
        self.known.forget()

    def expiry(self, token: str) -> datetime.datetime | None:
        """When a token ends that was found valid a moment ago; None where it does not."""
        key = read_key(token)
        entry = None if key is None else self.known.recall(key.token_id)
        return entry.token.expires if entry and entry.token else None

    async def _is_open(self) -> bool:
        known = self.known.is_open()
        return await run_in_threadpool(self.known.ask_open) if known is None else known

    def _local(self, request: Request) -> Caller:
        """Let this machine in where no token exists; a name that a page made up does not count."""
        if not is_local(request):
            raise UnauthorizedError("without any token only this machine is let in")
        name = host_name(request.headers)
        if not is_loopback(name) and name not in self._settings.hosts:
            raise ForbiddenError(f"{name!r} is no name of this service")
        other = is_other_site(request, self._settings.cors_origins)
        if other and request.method not in SAFE:
            raise ForbiddenError("pages of other sites may not ask for this")
        return LOCAL


def _caller(entry: Entry, key: Key) -> Caller | None:
    token = entry.token
    if token is None or not entry.opens(key):
        return None
    return Caller(token.name, token.id, frozenset(token.scopes))
