"""Native tiles of DICOM whole-slide images: encapsulated JPEG and JPEG 2000 frames, TILED_FULL.

One file of a series is one level; the slide is named by any of its files (as in OpenSlide).
DICOM PS3.3 C.7.6.17.3 (tiled organisation), PS3.5 A.4 (encapsulation).
"""

import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsi.geometry import Size
from wsi.native.base import Codec, NativeTiles, TileLayout
from wsi.native.cache import BoundedCache, Stamp, stamp
from wsi.native.codestream import JpegAssembler
from wsi.native.source import is_url, open_source
from wsi.native.tiles import Jpeg2kTiles, JpegTiles

_log = logging.getLogger(__name__)

_CODECS: dict[str, Codec] = {
    "1.2.840.10008.1.2.4.50": "jpeg",  # baseline
    "1.2.840.10008.1.2.4.90": "jpeg2k",  # lossless only
    "1.2.840.10008.1.2.4.91": "jpeg2k",
}
# How the frames' components are shown: as RGB, as YCbCr, or as JPEG 2000 itself says.
_COLOURS: dict[Codec, dict[str, bool | None]] = {
    "jpeg": {"RGB": True, "YBR_FULL_422": False, "YBR_FULL": False},
    "jpeg2k": {"RGB": True, "YBR_ICT": None, "YBR_RCT": None},
}
_TAGS = [
    "SeriesInstanceUID",
    "ImageType",
    "DimensionOrganizationType",
    "ConcatenationUID",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "Columns",
    "Rows",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "PhotometricInterpretation",
]
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_PIXELS = b"\xe0\x7f\x10\x00"
_DAMAGE = (OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Instance:
    """One file of a series: whether and how its frames can be copied, and where they begin."""

    path: str
    series: str
    is_grid: bool
    size: Size
    tile: Size
    codec: Codec | None
    photometric: str
    pixels_at: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of frames."""
        return -(-self.size.height // self.tile.height), -(-self.size.width // self.tile.width)


_instances: BoundedCache[Stamp, Instance] = BoundedCache(4096)
_frames: BoundedCache[Stamp, tuple[list[int], list[int]]] = BoundedCache(16)


def open_dicom_tiles(location: str, level: int, size: Size) -> NativeTiles | None:
    """Open the frames of one level, None where they are not a full grid of JPEG or JPEG 2000."""
    if is_url(location):
        return None
    try:
        found = _find_instance(location, size)
        if found is None or found.codec is None:
            return None
        return _open(found, found.codec, level)
    except _DAMAGE as err:
        _log.warning("%s: native tiles are not used, the file is damaged: %s", location, err)
        return None


def _find_instance(location: str, size: Size) -> Instance | None:
    """Find the one file of the slide's series that has this size."""
    named = read_instance(location)
    matching = [
        found
        for path in sorted(Path(location).parent.iterdir())
        if (found := _try_instance(str(path))) and found.series == named.series
        if found.is_grid and found.size == size
    ]
    return matching[0] if len(matching) == 1 else None


def _try_instance(path: str) -> Instance | None:
    """Read a neighbouring file, None where it is no DICOM whole-slide image."""
    if not is_dicom(path):
        return None
    try:
        return read_instance(path)
    except _DAMAGE:
        return None


def is_dicom(path: str) -> bool:
    """Whether a local file starts as DICOM files do."""
    try:
        with Path(path).open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_instance(path: str) -> Instance:
    """Read a file's header, once per process; what it raises for a damaged one is in _DAMAGE."""
    key = stamp(path)
    return _instances.get(key) or _instances.put(key, _parse_instance(path))


def _parse_instance(path: str) -> Instance:
    import pydicom

    with Path(path).open("rb") as file:
        data: Any = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
        pixels_at = file.tell()
    codec = _CODECS.get(str(data.file_meta.TransferSyntaxUID))
    photometric = str(data.PhotometricInterpretation)
    if codec is not None and photometric not in _COLOURS[codec]:
        codec = None
    size = Size(int(data.TotalPixelMatrixColumns), int(data.TotalPixelMatrixRows))
    tile = Size(int(data.Columns), int(data.Rows))
    return Instance(
        path=path,
        series=str(data.SeriesInstanceUID),
        is_grid=_is_grid(data, size, tile),
        size=size,
        tile=tile,
        codec=codec,
        photometric=photometric,
        pixels_at=pixels_at,
    )


def _is_grid(data: Any, size: Size, tile: Size) -> bool:
    """Whether each tile of a whole level is one frame of 8-bit colour, in row-major order."""
    frames = -(-size.height // max(tile.height, 1)) * -(-size.width // max(tile.width, 1))
    return (
        "VOLUME" in data.ImageType
        and data.get("DimensionOrganizationType") == "TILED_FULL"
        and "ConcatenationUID" not in data
        and (data.SamplesPerPixel, data.BitsAllocated) == (3, 8)
        and size.area > 0
        and tile.area > 0
        and int(data.get("NumberOfFrames", 1)) == frames
    )


def _open(found: Instance, codec: Codec, level: int) -> NativeTiles | None:
    key = stamp(found.path)
    offsets, counts = _frames.get(key) or _frames.put(key, scan_frames(found.path, found.pixels_at))
    if len(offsets) != found.shape[0] * found.shape[1]:
        return None  # frames in several fragments
    layout = TileLayout(
        level,
        found.size,
        found.tile,
        np.array(offsets, np.int64).reshape(found.shape),
        np.array(counts, np.int64).reshape(found.shape),
    )
    source = open_source(found.path)
    if codec == "jpeg2k":
        return Jpeg2kTiles(found.path, layout, source)
    rgb = _COLOURS[codec][found.photometric]
    assembler = JpegAssembler(found.tile, 3, rgb=rgb, jfif_wins=False)
    return JpegTiles(found.path, layout, source, assembler=assembler)


def scan_frames(path: str, pixels_at: int) -> tuple[list[int], list[int]]:
    """Find the fragments of encapsulated pixel data: file offsets and lengths of their bytes.

    Args:
        path: the file.
        pixels_at: where the Pixel Data element begins.
    """
    offsets, counts = [], []
    with Path(path).open("rb") as file:
        fd = file.fileno()
        if os.pread(fd, 4, pixels_at) != _PIXELS:
            raise ValueError("no pixel data where the header ends")
        at = pixels_at + 12  # explicit VR: tag, "OB", 2 reserved, undefined length
        while (item := os.pread(fd, 8, at))[:4] == _ITEM and len(item) == 8:
            (length,) = struct.unpack("<I", item[4:])
            offsets.append(at + 8)
            counts.append(length)
            at += 8 + length
    if item[:4] != _DELIMITER:
        raise ValueError(f"no item of pixel data at byte {at}")
    return offsets[1:], counts[1:]  # the first item is the basic offset table
