"""Uploads: pieces of a slide that gather in a file, and become a slide once complete."""

import datetime
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import delete, select

from service.auth.access import Caller
from service.database import Database, now
from service.errors import InvalidError, NotFoundError, StateError, TooLargeError
from service.slides.catalogue import Catalogue
from service.slides.receiving import locked, require_room, sha256_of
from service.slides.registering import ARRIVING, ASIDE, Registrar, Wish, check_name
from service.slides.tables import SlideRow, UploadRow

FOLDER = "uploads"
"""In the service's folder; holds a folder for each upload that is not complete."""
KEPT = datetime.timedelta(days=1)
"""An upload to which nothing was added for so long is removed."""
MOST_OPEN = 1000
"""Uploads that may be on their way at a time."""


@dataclass(frozen=True)
class Announced:
    """What a client says of a slide that it sends."""

    name: str
    slide_id: str | None
    size_bytes: int
    sha256: str | None
    mpp: float | None

    def wish(self, caller: str) -> Wish:
        """What it asks for."""
        return Wish(self.name, self.slide_id, self.mpp, caller)


class Uploads:
    """Slides on their way; safe to share between threads and processes.

    Args:
        database: of the rows.
        registrar: takes complete ones.
        catalogue: says where slides lie.
        work: folder of the service.
        most_bytes: of one slide.
    """

    def __init__(
        self,
        database: Database,
        registrar: Registrar,
        catalogue: Catalogue,
        work: Path,
        most_bytes: int,
    ) -> None:
        self._database, self._registrar, self._catalogue = database, registrar, catalogue
        self._folder = work / FOLDER
        self.most_bytes = most_bytes

    def begin(self, announced: Announced, caller: Caller) -> UploadRow:
        """Make room for an upload.

        Raises:
            InvalidError: no name or ID of a slide.
            StateError: the ID is taken, or too many uploads are on their way.
            TooLargeError: it is larger than allowed.
            UnavailableError: the disk is too full.
        """
        kept_as = check_name(announced.name)
        wish = announced.wish(caller.name)
        if announced.size_bytes > self.most_bytes:
            raise TooLargeError(f"at most {self.most_bytes:,} bytes are allowed")
        self._registrar.require_free(wish.id)
        self.sweep()
        row = UploadRow(
            id=uuid.uuid4().hex,
            name=kept_as,
            slide_id=wish.id,
            size_bytes=announced.size_bytes,
            sha256=announced.sha256,
            mpp=announced.mpp,
            owner_id=caller.token_id,
            created=now(),
            changed=now(),
        )
        self._folder.mkdir(exist_ok=True)
        require_room(self._folder, announced.size_bytes)
        with self._database.writing() as session:
            session.add(row)
        self.file_of(row).parent.mkdir()
        self.file_of(row).touch()
        return row

    def find(self, upload_id: str, caller: Caller) -> UploadRow:
        """Give an upload of this caller; an administrator sees all.

        Raises:
            NotFoundError: there is none, or it is another's.
        """
        with self._database.session() as session:
            row = session.get(UploadRow, upload_id)
        mine = row is not None and (row.owner_id == caller.token_id or "admin" in caller.scopes)
        if row is None or not mine:
            raise NotFoundError(f"there is no upload {upload_id[:40]!r}")
        return row

    def file_of(self, row: UploadRow) -> Path:
        """Where its bytes gather."""
        return self._folder / row.id / row.name

    def offset_of(self, row: UploadRow) -> int:
        """How many bytes of it are there.

        Raises:
            NotFoundError: it was removed.
        """
        if row.slide is not None:
            return row.size_bytes
        try:
            return self.file_of(row).stat().st_size
        except FileNotFoundError as err:
            raise NotFoundError(f"there is no upload {row.id!r}") from err

    @contextmanager
    def adding(self, row: UploadRow, offset: int) -> Iterator[BinaryIO]:
        """Open the file of an upload to add to it at this offset.

        Raises:
            StateError: it is complete, has another length, or another request writes to it.
        """
        if row.slide is not None:
            raise StateError("this upload is complete")
        there = self.offset_of(row)
        with locked(self.file_of(row)) as file:
            there = file.tell()
            if there != offset:
                raise StateError(f"{there} bytes are there, so the next offset is {there}")
            yield file

    def touch(self, row: UploadRow) -> None:
        """Note that something was added."""
        with self._database.writing() as session:
            known = session.get(UploadRow, row.id)
            if known is not None:
                known.changed = now()

    def finish(self, row: UploadRow, caller: Caller) -> SlideRow:
        """Check a complete upload and make a slide of it; one that is none is removed.

        Raises:
            InvalidError: another hash than announced, or no slide.
            StateError: the ID was taken in the meantime.
        """
        file = self.file_of(row)
        try:
            _require_hash(file, row.sha256)
            slide = self._registrar.place(file, Wish(row.name, row.slide_id, row.mpp, caller.name))
        except (InvalidError, TooLargeError, StateError):
            self.remove(row)
            raise
        with self._database.writing() as session:
            known = session.get(UploadRow, row.id)
            if known is not None:
                known.slide, known.changed = slide.id, now()
        shutil.rmtree(file.parent, ignore_errors=True)
        return slide

    def remove(self, row: UploadRow) -> None:
        """Forget an upload and what arrived of it."""
        with self._database.writing() as session:
            session.execute(delete(UploadRow).where(UploadRow.id == row.id))
        shutil.rmtree(self.file_of(row).parent, ignore_errors=True)

    def sweep(self) -> None:
        """Remove uploads that were given up, and what killed processes left.

        Raises:
            StateError: even so too many are on their way.
        """
        with self._database.session() as session:
            old = session.scalars(select(UploadRow).where(UploadRow.changed < now() - KEPT)).all()
        for row in old:
            self.remove(row)
        with self._database.session() as session:
            open_ones = session.scalars(select(UploadRow.id).where(UploadRow.slide.is_(None))).all()
        if len(open_ones) >= MOST_OPEN:
            raise StateError(f"{len(open_ones)} uploads are on their way; finish or delete some")
        for folder in self._left_over(set(open_ones)):
            shutil.rmtree(folder, ignore_errors=True)

    def _left_over(self, known: set[str]) -> Iterator[Path]:
        """Folders that nobody knows of and nobody has touched for a day."""
        limit = time.time() - KEPT.total_seconds()
        strays = [one for one in _listed(self._folder) if one.name not in known]
        for folder in [*strays, *_listed(self._catalogue.uploads)]:
            hidden = folder.name.startswith((ARRIVING, ASIDE))
            is_stray = folder.parent == self._folder or hidden
            if is_stray and folder.stat().st_mtime < limit:
                yield folder


def _require_hash(file: Path, announced: str | None) -> None:
    if announced is not None and sha256_of(file) != announced:
        raise InvalidError("the SHA-256 of what arrived is not the one that was announced")


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
