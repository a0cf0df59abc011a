"""The archives of the service by name: those in its folder, and those that the settings name."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from service.errors import InvalidError, NotFoundError, UnavailableError
from service.listing import Contents, Listings
from service.reading import reading
from tiling.errors import CorruptStoreError, StoreError
from tiling.slide_ids import safe_slide_id
from tiling.store import Archive, PatchStore

log = logging.getLogger(__name__)

FOLDER = "archives"
"""In the service's folder; jobs write new archives there."""


@dataclass(frozen=True)
class Held:
    """One slide in one archive.

    Attributes:
        archive: name of the archive.
        store: the slide.
        contents: its maps and embeddings.
    """

    archive: str
    store: PatchStore
    contents: Contents


@dataclass(frozen=True)
class Found:
    """One slide in all archives.

    Attributes:
        held: where it can be read.
        unread: archives where it cannot, and why.
    """

    held: tuple[Held, ...]
    unread: Mapping[str, Exception]

    def require_one(self) -> None:
        """Refuse where every copy is damaged or away.

        Raises:
            CorruptStoreError: the first copy is damaged.
            UnavailableError: the first copy cannot be read now.
        """
        if not self.held and self.unread:
            raise next(iter(self.unread.values()))


class Archives:
    """All archives that the service shows; safe to share between threads.

    What was read is remembered until it changes; of archives in object stores, for half a minute.

    Args:
        work: folder of the service.
        further: folders or URLs of other archives; the last part of each is its name.

    Raises:
        InvalidError: two of them have the same name.
    """

    def __init__(self, work: Path, further: tuple[str, ...] = ()) -> None:
        self._work = work
        self._further: dict[str, str] = {}
        self._listings = Listings()
        for one in further:
            name = PurePosixPath(one.rstrip("/")).name
            if self._further.setdefault(name, _place(one)) != _place(one):
                raise InvalidError(f"two archives have the name {name!r}; rename one of them")

    def locations(self) -> dict[str, str]:
        """Folder or URL of every archive, by name; those that the settings name come first."""
        found = dict(self._further)
        for folder in (self._work, self._work / FOLDER):
            for path in sorted(folder.glob("*.zarr")):
                if (path / "zarr.json").is_file() and not path.is_symlink():
                    found.setdefault(path.name, str(path))
        return {name: place for name, place in found.items() if not name.startswith(".")}

    def location(self, name: str) -> str:
        """Folder or URL of an archive.

        Raises:
            NotFoundError: there is none of that name.
        """
        found = self.locations().get(name)
        if found is None:
            raise NotFoundError(f"there is no archive {name!r}")
        return found

    def open(self, name: str) -> Archive:
        """Open an archive.

        Raises:
            NotFoundError: there is none of that name.
            StoreError: it cannot be read.
        """
        return self._listings.open(self.location(name))

    def slide_ids(self) -> dict[str, frozenset[str]]:
        """IDs of the committed slides of every archive."""
        return {name: self._listings.slide_ids(place) for name, place in self.locations().items()}

    def look(self, slide_id: str) -> Found:
        """Look for a slide in every archive; one copy that is damaged hides no other one."""
        held, unread = [], {}
        for name, place in self.locations().items():
            try:
                one = self._held(slide_id, name, place)
            except (CorruptStoreError, UnavailableError) as err:
                log.debug("%s", err)  # whoever asks is told
                unread[name] = err
            else:
                held.append(one)
        return Found(tuple(one for one in held if one is not None), unread)

    def holding(self, slide_id: str, archive: str | None = None) -> Iterator[Held]:
        """Give the slide in every archive that has it, or in the one asked for.

        Raises:
            NotFoundError: there is no such archive.
            CorruptStoreError: the slide is there, and damaged wherever it is.
            UnavailableError: its storage does not answer, wherever it is.
        """
        if archive is None:
            found = self.look(slide_id)
            found.require_one()
            yield from found.held
            return
        one = self._held(slide_id, archive, self.location(archive))
        if one is not None:
            yield one

    def _held(self, slide_id: str, name: str, place: str) -> Held | None:
        if safe_slide_id(slide_id) != slide_id:
            return None
        try:
            store = self._listings.store(place, slide_id)
        except CorruptStoreError as err:
            raise CorruptStoreError(f"{slide_id} is damaged in the archive {name}") from err
        except StoreError:  # it does not hold this slide
            return None
        except OSError as err:
            raise UnavailableError(f"{slide_id} in {name} cannot be read now") from err
        with reading(f"{slide_id} in {name}"):
            contents = self._listings.contents(place, store)
        return Held(name, store, contents)


def _place(location: str) -> str:
    """Give a folder as a whole path, whatever folder the service was started in."""
    if "://" in location:
        return location
    return str(Path(location).expanduser().absolute())
