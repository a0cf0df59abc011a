"""The slide file's own compressed tiles of one level, read and decoded without its reader."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from wsi.errors import InvalidRequestError, RegionError
from wsi.geometry import Size
from wsi.native.source import ByteSource

Codec: TypeAlias = Literal["jpeg", "jpeg2k"]
Cell: TypeAlias = tuple[int, int]
Rgb: TypeAlias = npt.NDArray[np.uint8]
Grid: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TileLayout:
    """Where a level's compressed tiles lie in its file.

    `size` is the level as the slide shows it; `offsets` and `byte_counts` are (rows, columns), only
    tiles that touch the level, count 0 where the file has none.
    """

    level: int
    size: Size
    tile: Size
    offsets: Grid
    byte_counts: Grid


class NativeTiles(ABC):
    """Compressed tiles of one level, as standalone codestreams.

    A cell is (column, row). Tiles are whole: those at the right and bottom edge reach over the
    level. An absent tile (byte count 0) says nothing of its pixels: ask the slide, which may show
    white or make it from another level. Not safe for threads.
    """

    codec: Codec
    standalone: bool
    """Whether `imagecodecs` without arguments decodes the codestream to the RGB the slide shows."""

    def __init__(self, location: str, layout: TileLayout, source: ByteSource) -> None:
        self.location = location
        self.level, self.size, self.tile = layout.level, layout.size, layout.tile
        self.rows, self.columns = layout.byte_counts.shape
        self.byte_counts = layout.byte_counts
        self._offsets = layout.offsets
        self._source = source
        # Noise at the highest quality stays below 3 bytes per sample; more is a damaged count.
        self._bytes_max = 9 * layout.tile.area + (1 << 16)

    @property
    def reductions(self) -> tuple[int, ...]:
        """What `decode` can reduce by while it decodes."""
        return (1,)

    def read(self, column: int, row: int) -> bytes | None:
        """Read one tile, None where the file has none; RegionError if it is cut off or broken."""
        (data,) = self.read_many([(column, row)])
        if isinstance(data, RegionError):
            raise data
        return data

    def read_many(self, cells: Sequence[Cell]) -> list[bytes | RegionError | None]:
        """Read tiles in the order asked, from the file in the order stored.

        A tile that fails is an error in its place and does not disturb the others.
        """
        columns, rows = self._split(cells)
        counts = self.byte_counts[rows, columns].tolist()
        asked = [count if count <= self._bytes_max else 0 for count in counts]
        pieces = self._source.read_ranges(self._offsets[rows, columns].tolist(), asked)
        return [
            self._finish(cell, count, piece)
            for cell, count, piece in zip(cells, counts, pieces, strict=True)
        ]

    def peek(self, column: int, row: int) -> bytes | None:
        """Read one tile if that waits for nothing; None says nothing about it: then `read` it."""
        count = int(self.byte_counts[row, column])
        if not 0 < count <= self._bytes_max:
            return None
        piece = self._source.peek(int(self._offsets[row, column]), count)
        try:
            return None if piece is None else self._assemble(memoryview(piece))
        except RegionError:
            return None

    def _split(self, cells: Sequence[Cell]) -> tuple[Grid, Grid]:
        """Check cells and return their columns and rows."""
        pairs = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
        if len(pairs) and (pairs.min() < 0 or (pairs >= (self.columns, self.rows)).any()):
            raise InvalidRequestError(
                f"no such tile: level {self.level} has {self.columns} columns, {self.rows} rows"
            )
        return pairs[:, 0], pairs[:, 1]

    def _finish(
        self, cell: Cell, count: int, piece: memoryview | RegionError
    ) -> bytes | RegionError | None:
        if count == 0:
            return None
        try:
            return self._assemble(self._check(count, piece))
        except RegionError as err:
            named = RegionError(f"{self.location}: level {self.level}, tile {cell}: {err}")
            named.__cause__ = err
            return named

    def _check(self, count: int, piece: memoryview | RegionError) -> memoryview:
        """Return what was read, or raise what is wrong with it."""
        if not 0 < count <= self._bytes_max:
            raise RegionError(f"impossible byte count {count}")
        if isinstance(piece, RegionError):
            raise piece
        return piece

    @property
    def is_usable(self) -> bool:
        """Whether one of three probed tiles is of a kind that is read here (not, say, 12 bits)."""
        filled = np.flatnonzero(self.byte_counts)
        probes = filled[[0, len(filled) // 2, -1]].tolist() if len(filled) else []
        found = self.read_many([(at % self.columns, at // self.columns) for at in probes])
        return not probes or any(isinstance(data, bytes) for data in found)

    @abstractmethod
    def _assemble(self, stored: memoryview) -> bytes:
        """Make the standalone codestream of a tile's stored bytes; RegionError if it is broken."""

    def decode(self, data: bytes, reduction: int = 1) -> Rgb:
        """Decode what `read` gave to RGB, u1 (tile height / reduction, tile width / reduction, 3).

        The result has at least 45 dB PSNR against the area mean of the full decode, on tissue.
        """
        if reduction not in self.reductions:
            raise InvalidRequestError(
                f"decoding {self.codec} reduces by one of {self.reductions}, not by {reduction}"
            )
        shape = (self.tile.height // reduction, self.tile.width // reduction, 3)
        try:
            pixels = self._decode(data, reduction, shape)
        except (ValueError, RuntimeError) as err:  # what simplejpeg and imagecodecs raise
            raise RegionError(f"{self.location}: level {self.level}: {err}") from err
        if pixels.shape != shape:
            raise RegionError(f"{self.location}: decoded {pixels.shape}, expected {shape}")
        return pixels

    @abstractmethod
    def _decode(self, data: bytes, reduction: int, shape: tuple[int, int, int]) -> Rgb:
        """Decode to RGB of `shape`; ValueError or RuntimeError where the data are damaged."""

    def close(self) -> None:
        """Let go of the file; reading afterwards fails."""
        self._source.close()

    def __enter__(self) -> Self:
        """Return itself; leaving the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
