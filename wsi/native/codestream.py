"""Marker arithmetic on JPEG and JPEG 2000 codestreams; decodes no pixel and reads no file.

JPEG: ITU-T T.81 annex B (markers), T.872 §6.5.3 (Adobe APP14). JPEG 2000: ITU-T T.800 annex A.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from wsi.errors import RegionError
from wsi.geometry import Size

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _DHT, _DQT, _DRI, _APP0, _APP14 = 0xDA, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # Huffman-coded DCT: baseline, extended, progressive
_TABLES = frozenset((_DHT, _DQT, _DRI))
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_JP2_BOXES_MAX = 4096  # a JP2 file's boxes before its codestream; an ICC profile is the largest

Buffer: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment; `start` is at its 0xFF, `stop` just behind its last byte."""

    marker: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a JPEG says before the data of its first scan, which begin `length` bytes in.

    `sampling` is 16 * horizontal + vertical factor of each component: (34, 17, 17) is 4:2:0.
    """

    size: Size
    precision: int
    component_ids: tuple[int, ...]
    sampling: tuple[int, ...]
    has_jfif: bool
    adobe_transform: int | None
    length: int

    @property
    def shows_rgb(self) -> bool:
        """Whether three components are taken as RGB, by libjpeg's `default_decompress_parms`."""
        if self.has_jfif:
            return False
        if self.adobe_transform is not None:
            return self.adobe_transform == 0
        return self.component_ids == tuple(b"RGB")


@dataclass(frozen=True, slots=True)
class Jpeg2kHeader:
    """The SIZ segment: image size, components as (bits, horizontal step, vertical step)."""

    size: Size
    components: tuple[tuple[int, int, int], ...]


def iter_segments(data: Buffer) -> Iterator[Segment]:
    """Yield the marker segments behind SOI, up to and with the first SOS (or to EOI or the end)."""
    if bytes(data[:2]) != SOI:
        raise RegionError(f"no JPEG: it starts with {bytes(data[:2]).hex()}, not ffd8")
    at = 2
    while at + 4 <= len(data) and data[at : at + 2] != EOI:
        if data[at] != 0xFF:
            raise RegionError(f"damaged JPEG: no marker at byte {at}")
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        stop = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if stop < at + 4 or stop > len(data):
            raise RegionError(f"damaged JPEG: the segment at byte {at} does not fit")
        yield Segment(data[at + 1], at, stop)
        if data[at + 1] == _SOS:
            return
        at = stop


def parse_jpeg(data: Buffer) -> JpegHeader:
    """Read the header of a full or abbreviated JPEG; RegionError where it is broken."""
    frame, adobe, has_jfif, length = None, None, False, 0
    for segment in iter_segments(data):
        body = bytes(data[segment.start + 4 : min(segment.stop, segment.start + 64)])
        if segment.marker in _FRAMES:
            frame = _parse_frame(body)
        elif segment.marker == _APP14 and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif segment.marker == _APP0 and body[:5] == b"JFIF\0":
            has_jfif = True
        elif segment.marker == _SOS:
            length = segment.stop
    if frame is None or not length:
        raise RegionError("damaged JPEG: no frame or no scan in its header")
    return JpegHeader(*frame, has_jfif=has_jfif, adobe_transform=adobe, length=length)


def _parse_frame(body: bytes) -> tuple[Size, int, tuple[int, ...], tuple[int, ...]]:
    """Read a frame segment: size, bits per sample, component ids, sampling factors."""
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise RegionError("damaged JPEG: its frame header is too short")
    precision, height, width, count = struct.unpack(">BHHB", body[:6])
    ids, sampling = (tuple(body[at : 6 + 3 * count : 3]) for at in (6, 7))
    return Size(width, height), precision, ids, sampling


def adobe_marker(transform: int) -> bytes:
    """Make an APP14 segment: transform 0 says that three components are RGB, 1 YCbCr.

    Its version (100) and flags are those that opentile writes.
    """
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x80\x00\x00\x00" + bytes((transform,))


def name_components(jpeg: Buffer, names: bytes) -> bytes:
    """Rename the three components in frame and scan header; some decoders go by "RGB"."""
    out = bytearray(jpeg)
    for segment in iter_segments(jpeg):
        if segment.marker in _FRAMES:
            out[segment.start + 10 : segment.start + 19 : 3] = names
        elif segment.marker == _SOS and out[segment.start + 4] == 3:
            out[segment.start + 5 : segment.start + 11 : 2] = names
    return bytes(out)


def split_tables(data: bytes) -> tuple[bytes, bytes]:
    """Split a full JPEG into its tables (for TIFF tag 347) and an abbreviated stream without them.

    JFIF and Adobe markers are dropped from both: a TIFF says by its photometric tag what they say.
    """
    tables, header, last = [SOI], [SOI], 2
    for segment in iter_segments(data):
        last = segment.stop
        if segment.marker in _TABLES:
            tables.append(data[segment.start : segment.stop])
        elif segment.marker not in (_APP0, _APP14):
            header.append(data[segment.start : segment.stop])
    return b"".join([*tables, EOI]), b"".join([*header, data[last:]])


def strip_colour(header: bytes) -> bytes:
    """Return a JPEG's header without its JFIF and Adobe markers."""
    kept = [
        header[segment.start : segment.stop]
        for segment in iter_segments(header)
        if segment.marker not in (_APP0, _APP14)
    ]
    return b"".join([SOI, *kept])


def check_end(data: bytes, start: int) -> None:
    """Raise RegionError unless EOI (EOC in JPEG 2000) stands behind `start`; padding may follow."""
    if not data.endswith(EOI) and data.rfind(EOI, start) < 0:
        raise RegionError(f"the codestream of {len(data)} bytes is cut off: it has no end marker")


class JpegAssembler:
    """Makes standalone JPEGs from the tiles of one level, which mostly share their header bytes."""

    def __init__(
        self, tile: Size, components: int, tables: bytes = b"", *, rgb: bool | None, jfif_wins: bool
    ) -> None:
        """Fix the level's facts.

        Args:
            tile: the size that every tile must have.
            components: 1 (grey) or 3.
            tables: an abbreviated JPEG of tables only (TIFF tag 347), or empty.
            rgb: how three components must be shown; None leaves it to the stream.
            jfif_wins: leave a stream with a JFIF marker as it is (tifffile) instead of overruling
                it (OpenSlide).
        """
        if tables and not (tables[:2] == SOI and tables[-2:] == EOI):
            raise RegionError("damaged JPEG tables: no start or no end marker")
        self.components = components
        self._tile, self._tables = tile, tables[2:-2]
        self._rgb, self._jfif_wins = rgb, jfif_wins
        self._known: list[tuple[bytes, bytes]] = []  # (a tile's header, what replaces it)

    def assemble(self, tile: Buffer) -> bytes:
        """Return the tile as a standalone JPEG, its structure checked; RegionError if broken."""
        header, replacement = self._recall(tile) or self._learn(tile)
        data = b"".join((replacement, tile[len(header) :]))
        check_end(data, len(replacement))
        return data

    def _recall(self, tile: Buffer) -> tuple[bytes, bytes] | None:
        for pair in self._known:
            if tile[: len(pair[0])] == pair[0]:
                return pair
        return None

    def _learn(self, tile: Buffer) -> tuple[bytes, bytes]:
        """Walk a header not met before and make its replacement; remember the first few."""
        parsed = parse_jpeg(tile)
        found = (parsed.size, parsed.precision, len(parsed.component_ids))
        if found != (self._tile, 8, self.components):
            raise RegionError(f"a tile of {found}, expected {(self._tile, 8, self.components)}")
        header = bytes(tile[: parsed.length])
        adobe, shown = b"", header
        if self._must_recolour(parsed):
            adobe = adobe_marker(0 if self._rgb else 1)
            shown = name_components(strip_colour(header), b"RGB" if self._rgb else b"\1\2\3")
        pair = (header, SOI + adobe + self._tables + shown[2:])
        if len(self._known) < 4:  # more would cost each tile a comparison
            self._known.append(pair)
        return pair

    def _must_recolour(self, parsed: JpegHeader) -> bool:
        if self.components != 3 or self._rgb is None or (self._jfif_wins and parsed.has_jfif):
            return False
        return parsed.shows_rgb != self._rgb


def parse_jpeg2k(data: Buffer) -> Jpeg2kHeader:
    """Read the SIZ segment of a codestream, bare or in a JP2 file; RegionError if it is broken."""
    start = bytes(data[:_JP2_BOXES_MAX]).find(_J2K_START)
    if start < 0 or (start > 0 and bytes(data[4:8]) != b"jP  "):
        raise RegionError("no JPEG 2000: it has no SOC marker")
    body = bytes(data[start + 6 : start + 6 + 36 + 3 * 4])
    if len(body) < 36:
        raise RegionError("damaged JPEG 2000: it ends inside its SIZ segment")
    right, bottom, left, top = struct.unpack(">4I", body[2:18])
    count = min(struct.unpack(">H", body[34:36])[0], 4)
    parts = body[36 : 36 + 3 * count]
    steps = tuple((d + 1, x, y) for d, x, y in zip(*(iter(parts),) * 3, strict=False))
    if len(steps) != count or right <= left or bottom <= top:
        raise RegionError("damaged JPEG 2000: impossible SIZ segment")
    return Jpeg2kHeader(Size(right - left, bottom - top), steps)


def check_jpeg2k(data: bytes, tile: Size) -> None:
    """Raise RegionError unless this is a whole JPEG 2000 codestream of three 8-bit components."""
    header = parse_jpeg2k(data)
    if header.size != tile or header.components != ((8, 1, 1),) * 3:
        raise RegionError(f"a tile of {header}, expected three full 8-bit components of {tile}")
    check_end(data, 4)
