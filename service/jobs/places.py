"""From the client's names of places to those of the server, for every word of a config."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.archives import FOLDER
from service.errors import InvalidError
from service.jobs.finders import Here, find
from service.jobs.kinds import OUTPUTS, Kind
from service.jobs.names import Names
from service.jobs.offers import OFFERS, Offer
from service.jobs.outputs import files_beside
from service.jobs.paths import SUFFIX, inside
from service.jobs.sources import PREFIX, Source, Sources

FindSlides = Callable[[Iterable[str]], list[Source]]


@dataclass
class Placed:
    """A config in the server's names.

    Attributes:
        config: without the slides, which go into a manifest.
        slides: that the job is about; None where it is about none.
        outputs: what the job writes on this server's disk, and what the client calls it.
        pairs: what the client calls which place, for answers.
    """

    config: dict[str, Any]
    slides: list[Source] | None = None
    outputs: list[tuple[Path, str]] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)


class Places:
    """Translates configs.

    Args:
        here: where things are on this server.
        sources: finds slides.
    """

    def __init__(self, here: Here, sources: Sources) -> None:
        self._here, self._sources = here, sources

    def place(self, offer: Offer, config: Mapping[str, Any]) -> Placed:
        """Translate a config, and check that all that it reads is there.

        Raises:
            InvalidError: a word means nothing here, or what no client may name.
        """
        return self._translate(offer, config, self._sources.find)

    def check(self, offer: Offer, config: Mapping[str, Any]) -> None:
        """Check that all is there that a config reads; folders of slides are not searched.

        Raises:
            InvalidError: a word means nothing here, or what no client may name.
        """
        self._translate(offer, config, self._sources.check)

    def outputs(self, offer: Offer, config: Mapping[str, Any]) -> list[tuple[Path, str]]:
        """Give what a job writes on this server's disk, and what the client calls it.

        Raises:
            InvalidError: a place is none that a client may name any more.
        """
        placed = Placed({})
        words = {name: kind for name, kind in offer.words.items() if kind in OUTPUTS}
        for name, kind in words.items():
            if config.get(name):
                self._word(placed, kind, config[name])
        if offer.beside is not None and not placed.outputs:
            self._word(placed, Kind.NEW_ARCHIVE, config[offer.beside])
        return placed.outputs

    def archives(self) -> Mapping[str, str]:
        """Folder or URL of every archive, by name."""
        return self._here.archives.locations()

    def claims(
        self, workflow: str, config: Mapping[str, Any], archives: Mapping[str, str]
    ) -> set[Path]:
        """Give all places that a job may write, whatever is there by now.

        Args:
            workflow: of the job.
            config: of the job.
            archives: as `archives` gives them, which takes long.
        """
        found = set[Path]()
        for word in _written_words(workflow, config):
            with suppress(InvalidError):  # none that it could have written to
                if word.endswith(SUFFIX):
                    new = str(inside(self._here.work, f"{FOLDER}/{word}"))
                    found |= files_beside(Path(archives.get(word, new)))
                else:
                    found.add(inside(self._here.work, word))
        return found

    def names(self, pairs: list[tuple[str, str]]) -> Names:
        """Give the client's names of what a job named, and of all else that is here."""
        work, root = self._here.work, self._here.root
        known = [(place, name) for name, place in self._here.archives.locations().items()]
        for folder, word in ((work / FOLDER, ""), (work, ""), (root, PREFIX[:-1])):
            if folder is not None:
                known += [(str(folder), word), (str(folder.resolve()), word)]
        return Names([*known, *pairs])

    def _translate(self, offer: Offer, config: Mapping[str, Any], slides: FindSlides) -> Placed:
        placed = Placed(dict(config))
        for name, kind in offer.words.items():
            if config.get(name):
                try:
                    self._field(placed, name, kind, slides)
                except InvalidError as err:
                    raise InvalidError(f"{name}: {err}") from err
        return placed

    def _field(self, placed: Placed, name: str, kind: Kind, slides: FindSlides) -> None:
        value = placed.config[name]
        if kind in (Kind.SLIDES, Kind.ARCHIVE_OR_SLIDES):
            self._slides(placed, name, kind, slides)
        elif isinstance(value, str):
            placed.config[name] = self._word(placed, kind, value)
        else:
            placed.config[name] = [self._word(placed, kind, word) for word in value]

    def _slides(self, placed: Placed, name: str, kind: Kind, slides: FindSlides) -> None:
        words = placed.config[name]
        if kind == Kind.ARCHIVE_OR_SLIDES and len(words) == 1 and words[0].endswith(SUFFIX):
            placed.config[name] = [self._word(placed, Kind.ARCHIVE, words[0])]
            return
        placed.slides = slides(words)
        placed.config[name] = []
        placed.pairs += [(one.location, one.word) for one in placed.slides]

    def _word(self, placed: Placed, kind: Kind, word: str) -> str:
        found = find(self._here, kind, word)
        if found != word:
            placed.pairs.append((found, word))
        if kind in OUTPUTS and "://" not in found:
            placed.outputs.append((Path(found), word))
        return found


def _written_words(workflow: str, config: Mapping[str, Any]) -> Iterator[str]:
    offer = OFFERS.get(workflow)
    words = {} if offer is None else offer.words
    named = {name for name, kind in words.items() if kind in OUTPUTS}
    if offer is not None and offer.beside is not None:
        named.add(offer.beside)
    yield from (config[name] for name in named if config.get(name))
