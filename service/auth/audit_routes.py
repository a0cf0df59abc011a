"""The record of who did what, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import select

from service.auth.access import Administrator
from service.auth.documents import AuditEntry
from service.auth.tables import AuditRow
from service.database import Database
from service.pages import Cursor, Limit, Page, number_of, to_cursor
from service.problems import problems

router = APIRouter(prefix="/api/v1/audit", tags=["operation"])

Action = Annotated[
    str | None, Query(max_length=100, description="Only this action.", examples=["slide.register"])
]


@router.get("", responses=problems(401, 403, 422))
def audit(
    request: Request,
    caller: Administrator,
    action: Action = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """List who did what, the last first."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit + 1)
    if cursor:
        query = query.where(AuditRow.id < number_of(cursor))
    if action is not None:
        query = query.where(AuditRow.action == action)
    database: Database = request.app.state.database
    with database.session() as session:
        rows = list(session.scalars(query))
    shown = [AuditEntry.model_validate(row, from_attributes=True) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(items=shown, next_cursor=to_cursor(shown[-1].id) if more else None)
