"""Headers that every answer has: what a browser may do with it, and who may keep it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",  # Swagger's icons; pictures that the viewer draws
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Everything comes from this service; no inline script, no page around it."""
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SafeHeaders:
    """Adds what keeps a browser from misusing an answer.

    Args:
        app: what comes next.
        shared: whether pages of other origins may use answers, as far as CORS lets them.
    """

    def __init__(self, app: ASGIApp, *, shared: bool) -> None:
        self.app = app
        policy = "cross-origin" if shared else "same-origin"
        named = ALWAYS | {"Cross-Origin-Resource-Policy": policy}
        self._headers = [(name.lower().encode(), one.encode()) for name, one in named.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        private = scope["path"].startswith("/api/")

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                has = {name for name, _ in message["headers"]}
                more = [header for header in self._headers if header[0] not in has]
                if private and not has & {b"etag", b"cache-control"}:
                    more.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *more]
            await send(message)

        return await self.app(scope, receive, add)
