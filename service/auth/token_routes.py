"""Tokens over HTTP, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from service.auth.access import Administrator
from service.auth.audit import Audit
from service.auth.documents import MadeToken, NewToken, TokenOut
from service.auth.store import create_token, page_tokens, revoke_token
from service.auth.tokens import Tokens
from service.pages import Cursor, Limit, Page, number_of, to_cursor
from service.problems import problems

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])

TokenId = Annotated[int, Path(ge=1, lt=2**31, description="Number of the token.", examples=[1])]


@router.get("", responses=problems(401, 403, 422))
def tokens(
    request: Request, caller: Administrator, limit: Limit = 100, cursor: Cursor = None
) -> Page[TokenOut]:
    """List tokens, without their secrets."""
    after = number_of(cursor) if cursor else 0
    found = page_tokens(request.app.state.database, after, limit + 1)
    shown = [TokenOut.of(token) for token in found[:limit]]
    more = len(found) > limit
    return Page(items=shown, next_cursor=to_cursor(shown[-1].id) if more else None)


@router.post("", status_code=201, responses=problems(401, 403, 422))
def make_token(body: NewToken, request: Request, caller: Administrator) -> MadeToken:
    """Make a token, whose secret is in this answer alone; only who has `phi` may give it."""
    if "phi" in body.scopes:
        caller.require("phi")
    state = request.app.state
    token, key = create_token(state.database, body.name, body.scopes, body.days)
    known: Tokens = state.tokens
    known.forget()
    audit: Audit = state.audit
    audit.note(request, caller, "token.create", str(token.id), f"{' '.join(token.scopes)}")
    return MadeToken(**TokenOut.of(token).model_dump(), token=str(key))


@router.delete("/{token_id}", responses=problems(401, 403, 404, 422))
def remove_token(token_id: TokenId, request: Request, caller: Administrator) -> TokenOut:
    """Revoke a token; it stays in the list, because the record names it."""
    state = request.app.state
    token = revoke_token(state.database, token_id)
    known: Tokens = state.tokens
    known.forget()
    audit: Audit = state.audit
    audit.note(request, caller, "token.revoke", str(token_id))
    return TokenOut.of(token)
