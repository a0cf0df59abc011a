"""The record of who did what: a row, and a line of the log."""

import logging

from fastapi import Request

from service.auth.access import Caller
from service.auth.origins import peer
from service.auth.tables import AuditRow
from service.database import Database, now

log = logging.getLogger("microtome.audit")


class Audit:
    """Takes note of what callers do; safe to share between threads.

    Args:
        database: where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(
        self, request: Request, caller: Caller, action: str, subject: str, detail: str = ""
    ) -> None:
        """Write down that somebody does something.

        Args:
            request: with which it is done.
            caller: who does it.
            action: a verb and a noun, such as `slide.register`.
            subject: ID of what it is done to.
            detail: what else an auditor wants to know.
        """
        row = AuditRow(
            at=now(),
            caller=caller.name[:100],
            token_id=caller.token_id,
            action=action[:100],
            subject=subject[:500],
            detail=detail[:2000],
            address=peer(request.scope)[:100],
            request_id=str(getattr(request.state, "request_id", ""))[:100],
        )
        told = {"caller": row.caller, "token_id": row.token_id, "address": row.address}
        log.info("%s %s", action, subject, extra={"audit": told | {"detail": row.detail}})
        with self._database.writing() as session:
            session.add(row)
