"""Refuses addresses with what is no text: no name here has it, and databases do not take it."""

from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from service.wire.answers import refuse


class Letters:
    """Refuses NUL and what is no UTF-8 (such as half a surrogate pair) in path and query.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and not _is_text(scope):
            return await refuse(scope, receive, send, 400, "the address holds what is no text")
        return await self.app(scope, receive, send)


def _is_text(scope: Scope) -> bool:
    address = scope["path"].encode(errors="surrogatepass") + b"?" + scope["query_string"]
    raw = scope.get("raw_path") or b""
    try:
        told = unquote_to_bytes(raw).decode() + unquote_to_bytes(address).decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in told
