"""Tables of this folder: registered slides, and uploads on their way."""

import datetime

from sqlalchemy import BigInteger, Boolean, DateTime, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base

ID_LENGTH = 120
PATH_LENGTH = 1000
NAME_LENGTH = 255


class SlideRow(Base):
    """A slide file that was registered or uploaded, and what was found when it was opened."""

    __tablename__ = "slides"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    is_upload: Mapped[bool] = mapped_column(Boolean)
    """Whether its path is relative to the uploads, else to the folder of slides."""
    path: Mapped[str] = mapped_column(String(PATH_LENGTH))
    reader: Mapped[str] = mapped_column(String(40))
    vendor: Mapped[str] = mapped_column(String(100))
    width: Mapped[int] = mapped_column(BigInteger)
    height: Mapped[int] = mapped_column(BigInteger)
    mpp_x: Mapped[float | None] = mapped_column(Float(53))
    mpp_y: Mapped[float | None] = mapped_column(Float(53))
    is_mpp_given: Mapped[bool] = mapped_column(Boolean)
    """Whether somebody gave it in place of what the file says."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    quick_hash: Mapped[str] = mapped_column(String(64))
    registered: Mapped[datetime.datetime] = mapped_column(DateTime)
    registered_by: Mapped[str] = mapped_column(String(100))


class UploadRow(Base):
    """A slide that arrives in pieces; how much is there its file says."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_changed", "changed"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    slide_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    mpp: Mapped[float | None] = mapped_column(Float(53))
    owner_id: Mapped[int | None] = mapped_column(Integer)
    """Token of who began it; None where the service had none."""
    created: Mapped[datetime.datetime] = mapped_column(DateTime)
    changed: Mapped[datetime.datetime] = mapped_column(DateTime)
    slide: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """ID of the slide that it became."""
