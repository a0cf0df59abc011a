"""What each kind of word means on this server: one function per kind, in one table."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.encoders.known import HUB
from models.encoders.table import known_encoders
from service.archives import FOLDER, Archives
from service.errors import InvalidError
from service.jobs import paths
from service.jobs.kinds import Kind
from service.jobs.lists import SUFFIXES, check_list
from tiling.manifest import ALIASES

_ARCHIVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.zarr")
_NETWORK = re.compile(r"[A-Za-z0-9][\w.+-]{0,199}", re.ASCII)
_ENCODER = re.compile(r"((timm:)?|hf-hub:[A-Za-z0-9][\w.-]{0,99}/)[A-Za-z0-9][\w.+-]{0,199}", re.A)
PERSONS = frozenset(
    ("patient", "site", *ALIASES["patient"], *ALIASES["site"], "bag", "case", "name", "mrn")
)
"""Columns of the product's own tables, and usual ones, that tell who or where somebody is."""
_DRAWN = re.compile(r"random(:\d{1,18})?|published", re.ASCII)


@dataclass(frozen=True)
class Here:
    """Where things are on this server.

    Attributes:
        work: folder of the service.
        root: folder of slides that may be registered.
        archives: by name.
    """

    work: Path
    root: Path | None
    archives: Archives


Finder = Callable[[Here, str], str]


def find(here: Here, kind: Kind, word: str) -> str:
    """Give the server's name of what a word means; it is there, unless a job is to write it.

    Raises:
        InvalidError: it means nothing here, or what no client may name.
    """
    return FINDERS[kind](here, word)


def _text(here: Here, word: str) -> str:
    del here
    return word


def _name(here: Here, word: str) -> str:
    del here
    if any(sign in word for sign in "/\\\0") or word[:1] in (".", "~"):
        raise InvalidError(f"{word[:80]!r} is no name")
    return word


def _label(here: Here, word: str) -> str:
    """Give the name of a column; classes named after patients would be told with every score."""
    del here
    for column in word.rpartition(":")[2].split(","):
        if column.strip().casefold() in PERSONS:
            raise InvalidError(f"{column!r} names persons or places, and is no label")
    return word


def _network(here: Here, word: str) -> str:
    del here
    if not _NETWORK.fullmatch(word):
        raise InvalidError(f"{word[:80]!r} is no name of a network")
    return word


def _archive(here: Here, word: str) -> str:
    location = here.archives.locations().get(word)
    if location is None:
        raise InvalidError(f"there is no archive {word!r}")
    return location


def _new_archive(here: Here, word: str) -> str:
    location = here.archives.locations().get(word)
    if location is not None:
        return location
    if not _ARCHIVE.fullmatch(word):
        raise InvalidError(f"{word[:80]!r} is no name of an archive, such as demo.zarr")
    return str(paths.inside(here.work, f"{FOLDER}/{word}"))


def _file(here: Here, word: str) -> str:
    return str(paths.existing(here.work, word, what="file"))


def _folder(here: Here, word: str) -> str:
    return str(paths.existing(here.work, word, what="folder"))


def _source(here: Here, word: str) -> str:
    path = paths.existing(here.work, word)
    check_list(path, (here.work, *([here.root] if here.root else [])))
    return str(path)


def _table(here: Here, word: str) -> str:
    if not word.lower().endswith(SUFFIXES):
        raise InvalidError(f"{word[:80]!r} is no list: its name ends with {', '.join(SUFFIXES)}")
    return _source(here, word)


@cache
def _published() -> frozenset[str]:
    """Repositories of the table of encoders: a job must not make the server fetch any other."""
    found = {place for row in known_encoders() for place in (row.architecture, row.weights)}
    return frozenset(place for place in found if place is not None)


def _encoder(here: Here, word: str) -> str:
    if word.startswith(HUB) and word not in _published():
        raise InvalidError(f"{word[:80]!r} is none of the encoders that this service knows")
    if _ENCODER.fullmatch(word) and not (here.work / word).exists():
        return word
    return str(paths.existing(here.work, word))


def _weights(here: Here, word: str) -> str:
    return word if _DRAWN.fullmatch(word) else str(paths.existing(here.work, word))


def _named_weights(here: Here, word: str) -> str:
    encoder, _, weights = word.partition("=")
    return f"{_encoder(here, encoder)}={_weights(here, weights)}"


def _out_folder(here: Here, word: str) -> str:
    return str(paths.output(here.work, word))


def _out_html(here: Here, word: str) -> str:
    return str(paths.output(here.work, word, ".html"))


def _out_csv(here: Here, word: str) -> str:
    return str(paths.output(here.work, word, ".csv"))


FINDERS: Mapping[Kind, Finder] = {
    Kind.TEXT: _text,
    Kind.NAME: _name,
    Kind.LABEL: _label,
    Kind.NETWORK: _network,
    Kind.ARCHIVE: _archive,
    Kind.ARCHIVES: _archive,
    Kind.NEW_ARCHIVE: _new_archive,
    Kind.TABLE: _table,
    Kind.FILE: _file,
    Kind.FOLDER: _folder,
    Kind.SOURCE: _source,
    Kind.ENCODER: _encoder,
    Kind.WEIGHTS: _weights,
    Kind.NAMED_WEIGHTS: _named_weights,
    Kind.OUT_FOLDER: _out_folder,
    Kind.OUT_HTML: _out_html,
    Kind.OUT_CSV: _out_csv,
}
"""All kinds but slides, which `service.jobs.sources` finds, and what is the operator's."""
