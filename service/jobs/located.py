"""Slides of the catalogue as jobs need them: a file, an ID, and microns per pixel if given."""

from sqlalchemy import select

from service.database import Database
from service.errors import NotFoundError
from service.jobs.sources import PREFIX, Source
from service.slides.catalogue import Catalogue
from service.slides.tables import SlideRow


class Located:
    """Finds slides in the catalogue; safe to share between threads.

    Args:
        catalogue: of all slides.
        database: where registered ones are.
    """

    def __init__(self, catalogue: Catalogue, database: Database) -> None:
        self._catalogue, self._database = catalogue, database

    def by_id(self, slide_id: str) -> Source | None:
        """Find a slide by its ID; None where there is none, or only an archive knows it."""
        try:
            found = self._catalogue.get(slide_id).source
        except NotFoundError:
            return None
        if found is None:
            return None
        return Source(slide_id, found.location, slide_id, found.mpp[0] if found.mpp else None)

    def by_path(self, path: str) -> Source | None:
        """Find the registered slide of a path under the slides root; None where it is none."""
        same = select(SlideRow).where(SlideRow.path == path, SlideRow.is_upload.is_(False))
        with self._database.session() as session:
            row = session.scalars(same.limit(1)).first()
        known = None if row is None else self.by_id(row.id)
        if known is None:
            return None
        return Source(known.slide_id, known.location, PREFIX + path, known.mpp)
