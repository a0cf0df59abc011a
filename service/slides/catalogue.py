"""Which slides there are: those that were registered or uploaded, and those of all archives."""

import datetime
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from service.archives import Archives, Found
from service.database import Database
from service.errors import InvalidError, NotFoundError
from service.slides.places import allowed_file, resolve_inside
from service.slides.tables import SlideRow
from wsi.mpp import OVERRIDE

UPLOADS = "slides"
"""Folder of uploaded slides in the service's folder, one folder for each."""


@dataclass(frozen=True)
class Source:
    """A slide file that may be read, and how it is opened.

    Attributes:
        location: path of the file, links resolved.
        reader: the one that opens it.
        mpp: in place of what the file says, um/px.
    """

    location: str
    reader: str
    mpp: tuple[float, float] | None = None


@dataclass(frozen=True)
class Entry:
    """A slide that is known.

    Attributes:
        id: of the slide.
        row: where it was registered or uploaded.
        source: its file; None where only archives know it.
    """

    id: str
    row: SlideRow | None
    source: Source | None

    @property
    def registered(self) -> datetime.datetime | None:
        """When, in UTC; None where only archives know it."""
        return None if self.row is None else self.row.registered


class Catalogue:
    """All slides; safe to share between threads.

    Args:
        database: where registered slides are.
        archives: where the other ones are.
        work: folder of the service.
        slides: folder of slides that may be registered.
    """

    def __init__(
        self, database: Database, archives: Archives, work: Path, slides: Path | None
    ) -> None:
        self._database = database
        self._archives = archives
        self._slides = slides
        self.uploads = work / UPLOADS
        self._roots = (work,) if slides is None else (slides, work)

    def get(self, slide_id: str) -> Entry:
        """Give a slide.

        Raises:
            NotFoundError: there is none of this ID.
        """
        with self._database.session() as session:
            row = session.get(SlideRow, slide_id)
        return self._entry(slide_id, row)

    def location(self, slide_id: str) -> str | None:
        """Give the path of a slide's file, None where only archives know it.

        Raises:
            NotFoundError: there is no slide of this ID.
        """
        source = self.get(slide_id).source
        return None if source is None else source.location

    def look(self, slide_id: str) -> Found:
        """Look for the slide in every archive that has it."""
        known = self._archives.slide_ids()
        if not any(slide_id in ids for ids in known.values()):
            return Found((), {})
        return self._archives.look(slide_id)

    def root_of_slides(self) -> Path:
        """Give the folder of slides that may be registered.

        Raises:
            InvalidError: this service has none.
        """
        if self._slides is None:
            raise InvalidError("this service has no folder of slides to register from")
        return self._slides

    def ids(self, archive: str | None = None) -> list[str]:
        """Give the IDs of all slides, or of one archive's, sorted.

        Raises:
            NotFoundError: there is no such archive.
        """
        known = self._archives.slide_ids()
        if archive is not None:
            if archive not in known:
                raise NotFoundError(f"there is no archive {archive!r}")
            return sorted(known[archive])
        with self._database.session() as session:
            registered = session.scalars(select(SlideRow.id)).all()
        return sorted(set(registered).union(*known.values()))

    def entries(self, ids: Sequence[str]) -> list[Entry]:
        """Give the slides of some IDs; those that went away are left out."""
        with self._database.session() as session:
            rows = session.scalars(select(SlideRow).where(SlideRow.id.in_(ids))).all()
        found = {row.id: row for row in rows}
        entries = []
        for slide_id in ids:
            with suppress(NotFoundError):
                entries.append(self._entry(slide_id, found.get(slide_id)))
        return entries

    def _entry(self, slide_id: str, row: SlideRow | None) -> Entry:
        if row is not None:
            return Entry(slide_id, row, self._source_of_row(row))
        found = self.look(slide_id)
        if not found.held and not found.unread:
            raise NotFoundError(f"there is no slide {slide_id!r}")
        sources = (self._source_of_store(one.store.attributes) for one in found.held)
        return Entry(slide_id, None, next(filter(None, sources), None))

    def _source_of_row(self, row: SlideRow) -> Source | None:
        root = self.uploads if row.is_upload else self._slides
        if root is None:
            return None
        try:
            file = resolve_inside(root, row.path)
        except (NotFoundError, InvalidError):  # taken away, or made a link that leads out
            return None
        given = row.is_mpp_given and row.mpp_x is not None and row.mpp_y is not None
        mpp = (float(row.mpp_x or 0), float(row.mpp_y or 0)) if given else None
        return Source(str(file), row.reader, mpp)

    def _source_of_store(self, known: dict[str, Any]) -> Source | None:
        """Give the file that an archive's slide was cut from, where it may be read here.

        What patches or volumes were imported from is no slide.
        """
        if "import" in known:
            return None
        try:
            location, reader, mpp = known["source"]["uri"], known["reader"], known["mpp"]
            given = (mpp["x"], mpp["y"]) if mpp["origin"] == OVERRIDE else None
        except (KeyError, TypeError):
            return None
        file = allowed_file(str(location), self._roots)
        return None if file is None else Source(str(file), str(reader), given)
