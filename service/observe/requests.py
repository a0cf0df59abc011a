"""Every request: its ID, its line in the log, and its part in the metrics."""

import logging
import re
import time
import uuid
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.auth.origins import peer
from service.observe.logs import request_id
from service.observe.metrics import RequestMetrics

log = logging.getLogger("microtome.requests")

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""An ID of the client's own must look so, or it gets another one."""
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
QUIET = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines; no line for each."""


@dataclass
class Seen:
    """What is known of an answer once it was sent.

    Attributes:
        status: 500 where none was sent.
        stream: whether it lasts as long as the client wants.
    """

    status: int = 500
    stream: bool = False


class Requests:
    """Gives requests IDs, counts them, and writes a line for each.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        named = _id_of(Headers(scope=scope))
        request_id.set(named)  # not reset: the server's own lines about this request want it too
        scope.setdefault("state", {})["request_id"] = named
        seen = Seen()

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = named
                seen.status = message["status"]
                seen.stream = headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        metrics: RequestMetrics = scope["app"].state.metrics
        started = time.perf_counter()
        metrics.in_progress.inc()
        try:
            await self.app(scope, receive, watch)
        finally:
            metrics.in_progress.dec()
            _note(scope, seen, time.perf_counter() - started, metrics)


def template(scope: Scope) -> str:
    """Path of the route with names for its parts, so that there are few of them."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return str(path) if path else "other"


def _note(scope: Scope, seen: Seen, seconds: float, metrics: RequestMetrics) -> None:
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = template(scope)
    metrics.requests.labels(method, route, str(seen.status)).inc()
    if not seen.stream:
        metrics.seconds.labels(method, route).observe(seconds)
    level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
    if log.isEnabledFor(level):
        about = {
            "method": method,
            "path": scope["path"],
            "status": seen.status,
            "ms": round(seconds * 1000, 2),
            "address": peer(scope),
        }
        log.log(level, "%s %s %d", method, scope["path"], seen.status, extra=about)


def _id_of(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if ID.fullmatch(given) else uuid.uuid4().hex
