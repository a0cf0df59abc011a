"""How a file becomes a slide of the service, by path or by upload, and stops being one."""

import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from models.files import flush
from service.database import Database, now
from service.errors import BusyError, InvalidError, NotFoundError, StateError, UnavailableError
from service.slides.catalogue import Catalogue
from service.slides.inspection import Facts, inspect, inspect_apart
from service.slides.places import resolve_inside
from service.slides.tables import NAME_LENGTH, SlideRow
from tiling.slide_ids import safe_slide_id, slide_id_from_path, without_extension
from wsi import slide_extensions

ARRIVING, ASIDE = ".arriving-", ".aside-"
"""Begin the names of folders on their way in and out; a killed process may leave them."""
INSPECTIONS = 2
"""Slides that are looked at at a time; each may take gigabytes and minutes."""
WAIT_S = 5.0
"""For so long a request waits for that; then it is told to come again."""
OF_MANY = (".mrxs", ".vms", ".vmu")
"""Files that only name others, where the pixels are."""
MISTAKABLE = (".dzi", "_files")
"""Ends of an ID that would make an address mean two things."""


@dataclass(frozen=True)
class Wish:
    """What a client asks for.

    Attributes:
        path: of a file, relative to the folder of slides; or the name of an uploaded one.
        slide_id: by default made of the path.
        mpp: um/px in place of what the file says.
        caller: name of who asks.
    """

    path: str
    slide_id: str | None
    mpp: float | None
    caller: str

    @property
    def id(self) -> str:
        """The slide's ID.

        Raises:
            InvalidError: the one given is not safe.
        """
        chosen = self.slide_id or slide_id_from_path(self.path, ".")
        if safe_slide_id(chosen) != chosen or chosen.endswith(MISTAKABLE):
            proposed = safe_slide_id(chosen).replace(".dzi", "-dzi").removesuffix("_files")
            raise InvalidError(f"{chosen[:200]!r} is no ID of a slide; {proposed!r} would be one")
        return chosen


def check_name(name: str) -> str:
    """Give the name under which an uploaded file is kept.

    Raises:
        InvalidError: it is no plain name of a slide file.
    """
    if "/" in name or "\\" in name or not name.isprintable() or name.startswith("."):
        raise InvalidError(f"{name[:80]!r} is no plain file name")
    stem = without_extension(name)
    extension = name[len(stem) :].lower()
    if extension.endswith(OF_MANY):
        raise InvalidError(f"{name[:80]!r} is of a format of many files, which cannot be uploaded")
    known = any(extension.endswith(one) for one in slide_extensions())
    if not known or not 0 < len(name) <= NAME_LENGTH:
        raise InvalidError(f"{name[:80]!r} has no extension of a slide, such as .svs or .tiff")
    return safe_slide_id(stem) + extension


class Registrar:
    """Puts slides into the catalogue and takes them out; safe to share between threads.

    Args:
        database: of the slides.
        catalogue: where they show.
    """

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database, self._catalogue = database, catalogue
        self._free = threading.BoundedSemaphore(INSPECTIONS)

    def register(self, wish: Wish) -> SlideRow:
        """Take in a file of the folder of slides.

        Raises:
            InvalidError: a path that leads elsewhere, or no slide.
            NotFoundError: there is no such file.
            StateError: the ID is taken.
            BusyError: too many slides are looked at already.
        """
        root = self._catalogue.root_of_slides()
        file = resolve_inside(root, wish.path)
        self.require_free(wish.id)
        facts = self._inspected(inspect, file, wish.mpp)
        self._require_same(wish.id, facts)
        row = _row(wish, facts, wish.path, is_upload=False)
        with self._database.writing() as session:
            session.add(row)
            _flush_row(session, wish.id)
        return row

    def place(self, file: Path, wish: Wish) -> SlideRow:
        """Check an uploaded file and move it to its place; it stays where it is if that fails.

        Args:
            file: complete, with its extension, on the file system of the service's folder.
            wish: its path is the name of the file.

        Raises:
            InvalidError: it is no slide.
            StateError: the ID is taken.
            BusyError: too many slides are looked at already; the file may be placed later.
        """
        self.require_free(wish.id)
        facts = self._inspected(inspect_apart, file, wish.mpp)
        self._require_same(wish.id, facts)
        row = _row(wish, facts, f"{wish.id}/{file.name}", is_upload=True)
        with self._database.writing() as session:
            session.add(row)
            _flush_row(session, wish.id)  # from here on nobody else can take this ID
            self._move(file, wish.id)
        return row

    def delete(self, slide_id: str) -> None:
        """Take a registered slide out of the catalogue; of an uploaded one the file goes too.

        Raises:
            NotFoundError: no such slide was registered.
            StateError: only an archive has it.
        """
        entry = self._catalogue.get(slide_id)
        if entry.row is None:
            raise StateError(f"slide {slide_id!r} is part of an archive and was not registered")
        aside = None
        folder = self._catalogue.uploads / slide_id
        try:
            with self._database.writing() as session:
                found = session.get(SlideRow, slide_id)
                if found is None:
                    raise NotFoundError(f"there is no slide {slide_id!r}")
                session.delete(found)
                session.flush()
                aside = set_aside(folder) if found.is_upload else None
        except SQLAlchemyError:  # nothing was deleted, so the file must be there again
            if aside is not None:
                aside.rename(folder)
            raise
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)

    def require_free(self, slide_id: str) -> None:
        """Refuse an ID that was registered.

        Raises:
            StateError: it is taken.
        """
        with self._database.session() as session:
            if session.get(SlideRow, slide_id) is not None:
                raise StateError(f"there is a slide {slide_id!r} already")

    def _inspected(
        self, look: Callable[[Path, float | None], Facts], file: Path, mpp: float | None
    ) -> Facts:
        if not self._free.acquire(timeout=WAIT_S):
            raise BusyError("too many slides are being looked at", retry_after_s=10)
        try:
            return look(file, mpp)
        finally:
            self._free.release()

    def _require_same(self, slide_id: str, facts: Facts) -> None:
        """Refuse a file under the ID of an archive's slide that was cut from another file."""
        found = self._catalogue.look(slide_id)
        for held in found.held:
            source = held.store.attributes.get("source", {})
            if source.get("quick_hash") != facts.quick_hash:
                raise StateError(
                    f"the archive {held.archive!r} has a slide {slide_id!r} of another file"
                )
        for err in found.unread.values():  # it may be of another file, too
            raise err

    def _move(self, file: Path, slide_id: str) -> None:
        """Move a file into a folder of its own; both become visible at once."""
        uploads = self._catalogue.uploads
        arriving = uploads / f"{ARRIVING}{uuid.uuid4().hex}"
        try:
            arriving.mkdir(parents=True)
            file.rename(arriving / file.name)
            flush(arriving)
            left_over = set_aside(uploads / slide_id)  # by a process that was killed here
            arriving.rename(uploads / slide_id)
            flush(uploads)
        except OSError as err:
            if (arriving / file.name).exists():
                (arriving / file.name).rename(file)
            shutil.rmtree(arriving, ignore_errors=True)
            raise UnavailableError("the storage of this service does not take the slide") from err
        if left_over is not None:
            shutil.rmtree(left_over, ignore_errors=True)


def set_aside(folder: Path) -> Path | None:
    """Take a folder out of sight and give its new place, None where there is none."""
    aside = folder.with_name(f"{ASIDE}{uuid.uuid4().hex}")
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return None
    return aside


def _row(wish: Wish, facts: Facts, path: str, *, is_upload: bool) -> SlideRow:
    return SlideRow(
        id=wish.id,
        is_upload=is_upload,
        path=path,
        is_mpp_given=wish.mpp is not None,
        registered=now(),
        registered_by=wish.caller[:100],
        **asdict(facts),
    )


def _flush_row(session: Session, slide_id: str) -> None:
    try:
        session.flush()
    except IntegrityError as err:
        raise StateError(f"there is a slide {slide_id!r} already") from err
