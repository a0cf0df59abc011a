"""Writes TIFF files from blocks compressed already; tests need files that no library writes.

TIFF 6.0 and BigTIFF, little-endian. Nothing is compressed or checked here.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from wsi.geometry import Size

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
DESCRIPTION, STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS = 270, 273, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR, RESOLUTION_UNIT, SOFTWARE = 282, 283, 284, 296, 305
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SUBIFDS = 322, 323, 324, 325, 330
JPEG_TABLES, SUBSAMPLING = 347, 530

_ASCII, _SHORT, _LONG, _RATIONAL, _BYTES, _LONG8 = 2, 3, 4, 5, 7, 16
_LONGS = frozenset((SUBFILE, WIDTH, HEIGHT, ROWS_PER_STRIP))
_POSITIONS = frozenset((STRIP_OFFSETS, STRIP_COUNTS, TILE_OFFSETS, TILE_COUNTS, SUBIFDS))

TagValue = int | str | bytes | float | Sequence[int]


@dataclass(frozen=True, slots=True)
class Page:
    """One image: its tags, its compressed blocks in row-major order, and reduced images of it.

    `tags` has what `image_tags` gives and whatever else; an int is a SHORT or LONG as the tag asks,
    a float a RATIONAL. An empty block is written as offset 0 and byte count 0 (a sparse tile).
    """

    tags: dict[int, TagValue]
    blocks: Iterable[bytes]
    children: tuple["Page", ...] = field(default=())


def image_tags(
    size: Size, tile: Size | None, *, compression: int, photometric: int
) -> dict[int, TagValue]:
    """Make the tags of an 8-bit image; without a tile size it is one strip."""
    samples = 1 if photometric <= 1 else 3
    tags: dict[int, TagValue] = {
        WIDTH: size.width,
        HEIGHT: size.height,
        BITS: (8,) * samples,
        COMPRESSION: compression,
        PHOTOMETRIC: photometric,
        SAMPLES: samples,
        PLANAR: 1,
    }
    if tile is None:
        return tags | {ROWS_PER_STRIP: size.height}
    return tags | {TILE_WIDTH: tile.width, TILE_HEIGHT: tile.height}


class TiffBuilder:
    """Writes pages one after the other, each page's blocks before its directory.

    Args:
        path: the file to make.
        big: BigTIFF, needed for more than 4 GB.
    """

    def __init__(self, path: Path | str, *, big: bool = False) -> None:
        self._file: BinaryIO = Path(path).open("wb", buffering=1 << 20)  # noqa: SIM115 - see __exit__
        self._big = big
        self._file.write(b"II+\0\x08\0\0\0" if big else b"II*\0")
        self._link = self._file.tell()  # where the position of the next directory belongs
        self._write_position(0)

    def __enter__(self) -> Self:
        """Return itself; leaving the block closes the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def add(self, page: Page) -> None:
        """Append a page to the main chain."""
        start, link = self._write_page(page)
        end = self._file.tell()
        self._file.seek(self._link)
        self._write_position(start)
        self._file.seek(end)
        self._link = link

    def _write_position(self, value: int) -> None:
        self._file.write(struct.pack("<Q" if self._big else "<I", value))

    def _write_page(self, page: Page) -> tuple[int, int]:
        """Write blocks, children and directory; return where it starts and where its link is."""
        offsets, counts = self._write_blocks(page.blocks)
        tags = dict(page.tags)
        is_tiled = TILE_WIDTH in tags
        tags[TILE_OFFSETS if is_tiled else STRIP_OFFSETS] = offsets
        tags[TILE_COUNTS if is_tiled else STRIP_COUNTS] = counts
        if page.children:
            tags[SUBIFDS] = [self._write_page(child)[0] for child in page.children]
        return self._write_directory(tags)

    def _write_blocks(self, blocks: Iterable[bytes]) -> tuple[list[int], list[int]]:
        offsets, counts = [], []
        at = self._file.tell()
        for block in blocks:
            self._file.write(block)
            offsets.append(at if block else 0)
            counts.append(len(block))
            at += len(block)
        return offsets, counts

    def _write_directory(self, tags: dict[int, TagValue]) -> tuple[int, int]:
        entries = [self._entry(code, tags[code]) for code in sorted(tags)]
        self._file.write(b"\0" * (-self._file.tell() % 8))
        start = self._file.tell()
        self._file.write(struct.pack("<Q" if self._big else "<H", len(entries)))
        self._file.write(b"".join(entries))
        link = self._file.tell()
        self._write_position(0)
        return start, link

    def _entry(self, code: int, value: TagValue) -> bytes:
        """Make a directory entry; a value that does not fit into it is written to the file."""
        kind, count, data = _pack(code, value, big=self._big)
        room = 8 if self._big else 4
        if len(data) > room:
            self._file.write(b"\0" * (-self._file.tell() % 8))
            at = self._file.tell()
            self._file.write(data)
            data = struct.pack("<Q" if self._big else "<I", at)
        return struct.pack("<HHQ" if self._big else "<HHI", code, kind, count) + data.ljust(
            room, b"\0"
        )


def _pack(code: int, value: TagValue, *, big: bool) -> tuple[int, int, bytes]:
    """Pack a tag's value: TIFF type, count, bytes."""
    if isinstance(value, str):
        data = value.encode("utf-8") + b"\0"
        return _ASCII, len(data), data
    if isinstance(value, bytes):
        return _BYTES, len(value), value
    if isinstance(value, float):
        return _RATIONAL, 1, struct.pack("<II", round(value * 1000), 1000)
    values = (value,) if isinstance(value, int) else tuple(value)
    if code in _POSITIONS and big:
        return _LONG8, len(values), struct.pack(f"<{len(values)}Q", *values)
    if code in _POSITIONS or code in _LONGS:
        return _LONG, len(values), struct.pack(f"<{len(values)}I", *values)
    return _SHORT, len(values), struct.pack(f"<{len(values)}H", *values)
