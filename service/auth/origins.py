"""Where a request comes from: this machine or another, a page of this service or another site."""

import ipaddress

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods without side effects."""
FORWARDED = (
    *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded"),
)
"""Set by proxies: who really asks may sit anywhere."""


def peer(scope: Scope) -> str:
    """Address of the other end; empty where there is none, as on a socket file."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    host = host.strip("[]").lower().partition("%")[0]
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1 on a dual-stack socket
    return bool((mapped or address).is_loopback)


def host_name(headers: Headers) -> str:
    """Name in the Host header, without its port."""
    host = headers.get("host", "").strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def is_local(request: Request) -> bool:
    """Whether the other end is this machine itself, and not a proxy on it."""
    forwarded = any(name in request.headers for name in FORWARDED)
    return is_loopback(peer(request.scope)) and not forwarded


def is_other_site(request: Request, allowed: tuple[str, ...]) -> bool:
    """Whether a page of another origin asks; a program that is no browser says nothing of it."""
    origin = request.headers.get("origin")
    if origin is not None:
        return origin not in allowed and not _is_own(request, origin)
    return request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def is_own_page(request: Request) -> bool:
    """Whether the request shows that a page of this service asks; saying nothing is not enough."""
    origin = request.headers.get("origin")
    if origin is not None:
        return _is_own(request, origin)
    return request.headers.get("sec-fetch-site") == "same-origin"


def _is_own(request: Request, origin: str) -> bool:
    return origin.lower() == f"{request.url.scheme}://{request.headers.get('host', '').lower()}"
