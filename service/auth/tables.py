"""Tables of this folder: tokens, and the record of who did what."""

import datetime

from sqlalchemy import DateTime, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base


class TokenRow(Base):
    """A token; of its secret only the SHA-256 is known here."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime.datetime] = mapped_column(DateTime)
    expires: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    last_used: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    revoked: Mapped[datetime.datetime | None] = mapped_column(DateTime)


class AuditRow(Base):
    """One thing that somebody did; is never changed."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_at", "at"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime.datetime] = mapped_column(DateTime)
    caller: Mapped[str] = mapped_column(String(100))
    token_id: Mapped[int | None] = mapped_column(Integer)
    action: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(500))
    detail: Mapped[str] = mapped_column(String(2000))
    address: Mapped[str] = mapped_column(String(100))
    request_id: Mapped[str] = mapped_column(String(100))
