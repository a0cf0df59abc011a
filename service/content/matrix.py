"""All embeddings of an archive by one encoder as one mapped matrix of rows of length 1.

It is a file in the cache: new slides are appended, and what has gone is left out of a new file. Of
the archive itself a search would have to open every slide, and to compute every length, each time.
"""

import bisect
import contextlib
import fcntl
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoders.card import EncoderCard
from models.errors import ModelError
from service.content.sending import tag
from tiling.embeddings import Embeddings
from tiling.errors import TilingError
from tiling.store import PatchStore
from tiling.tiles import UNREADABLE

INDEX, LOCK = "index.json", "lock"
BLOCK_BYTES = 8 << 20
"""Rows that are copied at a time."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """The rows of one slide.

    Attributes:
        slide: its ID.
        mark: changes when its embeddings do.
        first: number of its first row in the matrix.
        count: how many there are; 0 where they cannot be compared.
        dead: patches that are not found: unreadable, or without a direction.
    """

    slide: str
    mark: str
    first: int
    count: int
    dead: tuple[int, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """Rows of many slides.

    Attributes:
        rows: `(n, D)`, each of length 1, or 0.
        parts: slide by slide, without gaps.
    """

    rows: Floats
    parts: tuple[Part, ...]

    @property
    def dead(self) -> NDArray[np.int64]:
        """Numbers of rows that are not found, ascending."""
        return np.array([p.first + i for p in self.parts for i in p.dead], np.int64)

    @property
    def slides(self) -> int:
        """Slides that have rows."""
        return sum(1 for part in self.parts if part.count)

    def part_of(self, slide: str) -> Part | None:
        """Find a slide's part."""
        return next((part for part in self.parts if part.slide == slide), None)

    def place(self, row: int) -> tuple[str, int]:
        """Give the slide of a row, and the patch."""
        filled = [part for part in self.parts if part.count]
        part = filled[bisect.bisect_right([one.first for one in filled], row) - 1]
        return part.slide, row - part.first


class MatrixFile:
    """The matrix of one archive and encoder on disk; processes take turns at writing it.

    Args:
        folder: is made; nothing else lies there.
        encoder: name of the embeddings.
        identity: of the encoder: rows of another one mean something else, and are left out.
        dim: length of a row.
    """

    def __init__(self, folder: Path, encoder: str, identity: str, dim: int) -> None:
        self._folder, self._encoder, self._identity, self._dim = folder, encoder, identity, dim
        folder.mkdir(parents=True, exist_ok=True)

    def renew(self, marks: Mapping[str, str], stores: Mapping[str, PatchStore]) -> Matrix:
        """Bring the matrix up to date, and open it.

        Args:
            marks: of all slides that are to be in it.
            stores: opens them.
        """
        with self._alone():
            name, parts = self._read()
            kept = [part for part in parts if marks.get(part.slide) == part.mark]
            if len(kept) < len(parts) or not name:
                name, kept = self._rewritten(name, kept)
            known = {part.slide for part in kept}
            new = {slide: mark for slide, mark in marks.items() if slide not in known}
            if new:
                kept = [*kept, *self._append(name, kept, new, stores)]
            if kept != parts:
                self._write(name, kept)
            return self._open(name, kept)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._folder / LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self) -> tuple[str, list[Part]]:
        try:
            known = json.loads((self._folder / INDEX).read_text("utf-8"))
            parts = [Part(**(one | {"dead": tuple(one["dead"])})) for one in known["parts"]]
            size = (self._folder / known["rows"]).stat().st_size
        except (OSError, ValueError, LookupError, TypeError):
            return "", []
        return (known["rows"], parts) if size >= self._bytes(_length(parts)) else ("", [])

    def _write(self, name: str, parts: list[Part]) -> None:
        known = {"rows": name, "parts": [asdict(part) for part in parts]}
        temporary = self._folder / f"{INDEX}.new"
        temporary.write_text(json.dumps(known), "utf-8")
        temporary.replace(self._folder / INDEX)
        for old in self._folder.glob("rows-*"):
            if old.name != name:  # whoever searches it has it mapped
                old.unlink(missing_ok=True)

    def _open(self, name: str, parts: list[Part]) -> Matrix:
        shape = _length(parts), self._dim
        if not shape[0]:
            return Matrix(np.zeros(shape, np.float32), tuple(parts))
        return Matrix(np.memmap(self._folder / name, np.float32, "r", 0, shape), tuple(parts))

    def _rewritten(self, old: str, kept: list[Part]) -> tuple[str, list[Part]]:
        """Copy the rows that are kept to a new file."""
        name, parts = f"rows-{uuid.uuid4().hex[:8]}", list[Part]()
        with (self._folder / name).open("wb") as target:
            for part in kept:
                first = _length(parts)
                with (self._folder / old).open("rb") as source:
                    source.seek(self._bytes(part.first))
                    left = self._bytes(part.count)
                    while left and (block := source.read(min(BLOCK_BYTES, left))):
                        target.write(block)
                        left -= len(block)
                parts.append(Part(part.slide, part.mark, first, part.count, part.dead))
        return name, parts

    def _append(
        self,
        name: str,
        kept: list[Part],
        new: Mapping[str, str],
        stores: Mapping[str, PatchStore],
    ) -> Iterator[Part]:
        first = _length(kept)
        with (self._folder / name).open("r+b") as file:
            file.truncate(self._bytes(first))  # of a process that was killed while it appended
            for slide, mark in new.items():
                file.seek(self._bytes(first))
                dead: list[int] = []
                try:
                    for block, lost in self._directions(stores[slide]):
                        file.write(block.data)
                        dead += lost
                except (TilingError, ModelError, OSError, ValueError, LookupError):
                    file.truncate(self._bytes(first))  # damaged, or taken away meanwhile
                    yield Part(slide, mark, first, 0)
                    continue
                count = file.tell() // self._bytes(1) - first
                yield Part(slide, mark, first, count, tuple(dead))
                first += count

    def _directions(self, store: PatchStore) -> Iterator[tuple[Floats, list[int]]]:
        """Give a slide's rows, each divided by its length, and which are none, block by block."""
        found = Embeddings(store, self._encoder)
        card = EncoderCard.model_validate(found.attributes["card"])
        if card.identity != self._identity or found.dim != self._dim:
            return
        bad, start = store.status == UNREADABLE, 0
        for stored in found.blocks(max(1, BLOCK_BYTES // self._bytes(1))):
            rows, lost = to_directions(stored, bad[start : start + len(stored)])
            yield rows, [start + int(i) for i in np.flatnonzero(lost)]
            start += len(rows)

    def _bytes(self, rows: int) -> int:
        return rows * self._dim * 4


def to_directions(stored: NDArray[Any], bad: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Divide rows by their lengths; those that are bad, infinite or of no length become 0.

    Returns:
        Rows `(n, D)`, and which of them are 0, `(n,)`.
    """
    rows = np.ascontiguousarray(stored, np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    lost = bad | ~np.isfinite(lengths) | (lengths == 0)
    rows = rows / np.where(lost, 1, lengths).astype(np.float32)[:, None]
    rows[lost] = 0
    return rows, lost


def _length(parts: list[Part]) -> int:
    return parts[-1].first + parts[-1].count if parts else 0


def matrix_folder(root: Path, location: str, encoder: str, identity: str) -> Path:
    """Name the folder of a matrix."""
    return root / tag(location, encoder, identity)


def tidy(root: Path, limit_bytes: int, kept: Path) -> None:
    """Delete the matrices that were not used for longest, until the rest has room."""
    found = []
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            sizes = [path.stat().st_size for path in folder.iterdir()]
            found.append(((folder / LOCK).stat().st_mtime, sum(sizes), folder))
    room = limit_bytes - sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if room < 0 and folder != kept:
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()
            room += size
