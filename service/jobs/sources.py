"""The slides that a job is about: IDs and paths of clients as rows of a manifest."""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from service.errors import InvalidError
from service.jobs.paths import inside
from tiling.collect import collect_slides
from tiling.errors import ManifestError
from tiling.slide_ids import slide_id_from_path

PREFIX = "slides/"
"""How a path under the slides root begins."""


@dataclass(frozen=True)
class Source:
    """A slide of a job.

    Attributes:
        slide_id: its ID, which it has in the archive too.
        location: path or URL on the server.
        word: what the client calls it.
        mpp: microns per pixel at level 0 that somebody gave for it.
    """

    slide_id: str
    location: str
    word: str
    mpp: float | None = None


Locate = Callable[[str], Source | None]
"""Finds a slide by its ID; None where there is none, or none whose pixels are here."""


class Sources:
    """Finds the slides of jobs.

    Args:
        root: folder of slides that may be registered; None where there is none.
        locate: finds registered and uploaded slides, and those of archives.
        registered: gives the slide of a file under the root, where it is registered.
    """

    def __init__(self, root: Path | None, locate: Locate, registered: Locate) -> None:
        self._root, self._locate, self._registered = root, locate, registered

    def find(self, words: Iterable[str]) -> list[Source]:
        """Give the slides that words mean, each once.

        Raises:
            InvalidError: a word means none.
        """
        found = {one.location: one for word in words for one in self._of(word)}
        return list(found.values())

    def check(self, words: Iterable[str]) -> list[Source]:
        """Make sure that words mean slides, or folders of them; gives those that have an ID.

        Raises:
            InvalidError: a word means none.
        """
        return [one for word in words for one in self._checked(word)]

    def _checked(self, word: str) -> list[Source]:
        if not word.startswith(PREFIX):
            return self._of(word)
        if not self._path(word).exists():
            raise InvalidError(f"there is no slide {word!r}")
        return []

    def _of(self, word: str) -> list[Source]:
        if word.startswith(PREFIX):
            return list(self._under_root(word))
        known = self._locate(word)
        if known is None:
            raise InvalidError(f"there is no slide {word!r} with pixels here")
        return [known]

    def _under_root(self, word: str) -> Iterator[Source]:
        path, root = self._path(word), self._home()
        try:
            rows = collect_slides([path])
        except ManifestError as err:
            raise InvalidError(f"there is no slide {word!r}") from err
        for row in rows:
            file = Path(row.path)
            relative = file.relative_to(root).as_posix()
            if not file.resolve().is_relative_to(root):
                raise InvalidError(f"{PREFIX + relative!r} leads out of the folder of slides")
            known = self._registered(relative)
            plain = slide_id_from_path(file, root)
            yield known or Source(plain, str(file), PREFIX + relative)

    def _path(self, word: str) -> Path:
        relative = word.removeprefix(PREFIX)
        return inside(self._home(), relative) if relative else self._home()

    def _home(self) -> Path:
        if self._root is None:
            raise InvalidError("this service has no folder of slides")
        return self._root.resolve()


def write_manifest(sources: Iterable[Source], path: Path) -> None:
    """Write the list that `microtome tile` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("slide_id", "path", "mpp"))
        for one in sources:
            writer.writerow((one.slide_id, one.location, "" if one.mpp is None else one.mpp))
