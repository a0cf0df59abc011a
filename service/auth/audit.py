"""The record of who did what: a row, and a line of the log."""

import logging
from collections.abc import Callable
from typing import Any, cast

from fastapi import Request
from sqlalchemy import Connection, Table, insert

from service.auth.access import Caller
from service.auth.origins import peer
from service.auth.tables import AuditRow
from service.database import Database, now

log = logging.getLogger("microtome.audit")
INSERT = insert(cast("Table", AuditRow.__table__))

Note = Callable[[Connection, str, str], None]
"""Writes down, in a transaction, to what something is done, and a detail."""


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
        with self._database.inserting() as connection:
            make_note(request, caller, action)(connection, subject, detail)


def make_note(request: Request, caller: Caller, action: str) -> Note:
    """Prepare a note for what is done in a transaction, so that neither is there without the other.

    Args:
        request: with which it is done.
        caller: who does it.
        action: a verb and a noun, such as `job.submit`.
    """
    who: dict[str, Any] = {
        "caller": caller.name[:100],
        "token_id": caller.token_id,
        "address": peer(request.scope)[:100],
    }
    named = str(getattr(request.state, "request_id", ""))[:100]

    def note(connection: Connection, subject: str, detail: str) -> None:
        told = who | {"detail": detail[:2000]}
        what = {"at": now(), "action": action[:100], "subject": subject[:500], "request_id": named}
        connection.execute(INSERT, told | what)
        log.info("%s %s", action, subject, extra={"audit": told})

    return note
