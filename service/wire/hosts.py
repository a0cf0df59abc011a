"""The names under which the service is reached, where the settings say them."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.origins import host_name, is_loopback
from service.wire.answers import PROBES, refuse


class Hosts:
    """Refuses requests for other names; without names in the settings it passes all.

    Args:
        app: what comes next.
        names: of this service, beside loopback's.
    """

    def __init__(self, app: ASGIApp, names: tuple[str, ...]) -> None:
        self.app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and self._names and scope["path"] not in PROBES:
            name = host_name(Headers(scope=scope))
            if name not in self._names and not is_loopback(name):
                detail = f"{name!r} is no name of this service"
                return await refuse(scope, receive, send, 421, detail)
        return await self.app(scope, receive, send)
