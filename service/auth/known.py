"""What was read of tokens a moment ago, so that a picture of 256 pixels costs no database read."""

import datetime
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from service.auth.keys import Key
from service.auth.store import Token, any_token, to_token
from service.auth.tables import TokenRow
from service.database import Database, now

log = logging.getLogger(__name__)

FRESH_S = 2.0
"""For so long what was read counts; what another process revokes is refused after this time."""
MOST = 4096
"""IDs of tokens that are remembered, also such as do not exist."""
USED_EVERY = datetime.timedelta(minutes=1)
"""`last_used` is not written more often."""


@dataclass(frozen=True)
class Entry:
    """A token as it was read, or that there is none of this ID."""

    read_at: float
    token: Token | None
    digest: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether it still counts."""
        return time.monotonic() - self.read_at < FRESH_S

    def opens(self, key: Key) -> bool:
        """Whether this key is the token's, and the token is valid."""
        return self.token is not None and key.fits(self.digest) and self.token.is_valid


class KnownTokens:
    """Tokens, read again when what is known is no longer fresh; safe to share between threads.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._closed: tuple[float, bool] = (-FRESH_S, False)

    def recall(self, token_id: int) -> Entry | None:
        """Give what is known and fresh, without the database."""
        with self._lock:
            entry = self._entries.get(token_id)
        return entry if entry is not None and entry.is_fresh else None

    def look_up(self, key: Key) -> Entry:
        """Read the token; takes note of its use where the key fits."""
        with self._database.session() as session:
            row = session.get(TokenRow, key.token_id)
            token = None if row is None else to_token(row)
            entry = Entry(time.monotonic(), token, "" if row is None else row.digest)
        if token is not None and entry.opens(key):
            self._note_use(token)
        with self._lock:
            self._entries[key.token_id] = entry
            self._entries.move_to_end(key.token_id)
            while len(self._entries) > MOST:
                self._entries.popitem(last=False)
        return entry

    def forget(self) -> None:
        """Read everything again, after tokens were changed in this process."""
        with self._lock:
            self._entries.clear()
            self._closed = (-FRESH_S, False)

    def is_open(self) -> bool | None:
        """Whether no token exists, as far as that is known and fresh; None where it is not."""
        with self._lock:
            at, closed = self._closed
        return None if not closed and time.monotonic() - at >= FRESH_S else not closed

    def ask_open(self) -> bool:
        """Read whether no token exists; once one does, that stays so."""
        with self._database.session() as session:
            closed = any_token(session)
        with self._lock:
            self._closed = (time.monotonic(), closed)
        return not closed

    def _note_use(self, token: Token) -> None:
        used = now()
        if token.last_used is not None and used - token.last_used < USED_EVERY:
            return
        try:
            with self._database.writing() as session:
                row = session.get(TokenRow, token.id)
                if row is not None:
                    row.last_used = used
        except SQLAlchemyError as err:  # a full disk must not close the door to readers
            log.warning("the use of token %d was not noted: %s", token.id, err)
