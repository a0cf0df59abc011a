"""How often one token, or one address, may ask."""

import ipaddress
from typing import Protocol

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.origins import peer
from service.auth.tokens import COOKIE
from service.wire.answers import PROBES, refuse
from service.wire.buckets import Buckets


class Recognises(Protocol):
    """What this needs of the tokens."""

    def recognise(self, token: str) -> int | None:
        """ID of a token that was found valid a moment ago."""


class Rates:
    """Refuses who asks too often; a token that was not checked yet counts to its address.

    So nobody empties another's bucket, or gets a new one by inventing tokens.

    Args:
        app: what comes next.
        per_minute: requests of one token or address.
    """

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self.app = app
        self._buckets = Buckets(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            return await self.app(scope, receive, send)
        wait_s = self._buckets.take(_caller(scope))
        if wait_s:
            detail = f"too many requests; come again in {wait_s} s"
            return await refuse(scope, receive, send, 429, detail, Retry_After=str(wait_s))
        return await self.app(scope, receive, send)


def _caller(scope: Scope) -> str:
    tokens: Recognises = scope["app"].state.tokens
    shown = shown_token(Headers(scope=scope))
    found = None if shown is None else tokens.recognise(shown)
    return f"token {found}" if found is not None else network(peer(scope))


def shown_token(headers: Headers) -> str | None:
    """What a request shows as its token, checked or not."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    cookie = headers.get("cookie", "")
    return cookie_parser(cookie).get(COOKIE) if COOKIE in cookie else None


def network(address: str) -> str:
    """Who an address stands for: of IPv6 one has 2^64, so the first half."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False))
