"""What a route asks of its caller: `Reader`, `Submitter`, `Administrator`, `Identified` (phi)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.errors import ForbiddenError

Scope = Literal["read", "submit", "admin", "phi"]
SCOPES: tuple[Scope, ...] = ("read", "submit", "admin", "phi")


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: of the token, or `local` where the service has none.
        token_id: of the token; None where the service has none.
        scopes: what it allows.
    """

    name: str
    token_id: int | None
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Refuse a caller without this scope.

        Raises:
            ForbiddenError: it has not got it.
        """
        if scope not in self.scopes:
            raise ForbiddenError(f"the token {self.name!r} has no scope {scope!r}")


LOCAL = Caller("local", None, frozenset(SCOPES))
"""Who asks from this machine where no token exists."""

bearer = HTTPBearer(auto_error=False, scheme_name="token")
"""The header of a request."""


Shown = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def identify(request: Request, credentials: Shown) -> Caller:
    """Find out who asks.

    Raises:
        UnauthorizedError: no token, or one that is not valid.
    """
    caller: Caller = await request.app.state.tokens.identify(request, credentials)
    return caller


@dataclass(frozen=True)
class Requires:
    """Lets only callers with a scope pass.

    Attributes:
        scope: that is needed.
    """

    scope: Scope

    async def __call__(self, request: Request, credentials: Shown) -> Caller:
        """Give the caller, or refuse."""
        caller = await identify(request, credentials)
        caller.require(self.scope)
        return caller


Someone = Annotated[Caller, Depends(identify)]
Reader = Annotated[Caller, Depends(Requires("read"))]
Submitter = Annotated[Caller, Depends(Requires("submit"))]
Administrator = Annotated[Caller, Depends(Requires("admin"))]
Identified = Annotated[Caller, Depends(Requires("phi"))]
