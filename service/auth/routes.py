"""Who am I, and the cookie of the viewer."""

import datetime

from fastapi import APIRouter, Request, Response

from service.auth.access import Caller, Someone
from service.auth.documents import Me, Session
from service.auth.origins import is_other_site
from service.auth.tokens import COOKIE, Tokens
from service.errors import ForbiddenError
from service.problems import problems

router = APIRouter(prefix="/api/v1", tags=["tokens"])


@router.get("/me", responses=problems(401, 403))
async def me(caller: Someone) -> Me:
    """Say who asks, and what they may."""
    return _me(caller)


@router.post("/session", responses=problems(401, 403, 422))
async def start_session(body: Session, request: Request, response: Response) -> Me:
    """Keep a token in a cookie that scripts cannot read, for the viewer."""
    _refuse_others(request)
    tokens: Tokens = request.app.state.tokens
    caller = await tokens.check(body.token)
    response.set_cookie(
        COOKIE,
        body.token,
        expires=_end(tokens.expiry(body.token)),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    response.headers["Cache-Control"] = "no-store"
    return _me(caller)


@router.delete("/session", status_code=204, responses=problems(403))
async def end_session(request: Request, response: Response) -> None:
    """Forget the cookie."""
    _refuse_others(request)
    response.delete_cookie(
        COOKIE, secure=request.url.scheme == "https", httponly=True, samesite="strict"
    )


def _refuse_others(request: Request) -> None:
    """Let no other site log somebody in or out."""
    if is_other_site(request, ()):
        raise ForbiddenError("pages of other sites may not ask for this")


def _end(expires: datetime.datetime | None) -> datetime.datetime | None:
    return None if expires is None else expires.replace(tzinfo=datetime.UTC)


def _me(caller: Caller) -> Me:
    return Me(name=caller.name, scopes=sorted(caller.scopes), token_id=caller.token_id)
