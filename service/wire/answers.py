"""A problem as the answer of a middleware, before any route is asked."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.problems import problem_response

PROBES = ("/healthz", "/readyz")
"""Whoever starts and stops the service must be able to ask, by any name and at any rate."""


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, detail: str, **headers: str
) -> None:
    """Answer with problem details; `_` in the name of a header stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = problem_response(Request(scope), status, detail, headers=named)
    await response(scope, receive, send)
