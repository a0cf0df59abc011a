"""Native tiles of the TIFF family: SVS, generic tiled TIFF, OME-TIFF, Philips TIFF."""

import logging

from wsi.errors import RegionError
from wsi.geometry import Size
from wsi.native.base import NativeTiles, TileLayout
from wsi.native.cache import BoundedCache, Stamp, stamp
from wsi.native.codestream import JpegAssembler
from wsi.native.directories import (
    APERIO_YCC,
    DAMAGE,
    JPEG,
    RGB,
    Directory,
    TiffIndex,
    read_index,
)
from wsi.native.source import open_source
from wsi.native.tiles import Jpeg2kTiles, JpegTiles

_log = logging.getLogger(__name__)
_indexes: BoundedCache[Stamp, TiffIndex] = BoundedCache(8)


def open_tiff_tiles(location: str, level: int, size: Size, reader: str) -> NativeTiles | None:
    """Open the native tiles of one level, None where it has none that can be copied."""
    try:
        key = stamp(location)
        index = _indexes.get(key) or _indexes.put(key, read_index(location))
        found = index.find(level, size)
        return None if found is None else _open(location, level, size, found, reader)
    except (RegionError, *DAMAGE) as err:
        _log.warning("%s: native tiles are not used, the file is damaged: %s", location, err)
        return None


def _open(
    location: str, level: int, size: Size, found: Directory, reader: str
) -> NativeTiles | None:
    rows, columns = -(-size.height // found.tile.height), -(-size.width // found.tile.width)
    grid = (slice(rows), slice(columns))
    layout = TileLayout(level, size, found.tile, found.offsets[grid], found.counts[grid])
    by_tifffile = reader == "tiffslide"
    if found.compression == JPEG:
        assembler = _make_assembler(found, by_tifffile=by_tifffile)
        return JpegTiles(location, layout, open_source(location), assembler=assembler)
    is_ycc = found.compression == APERIO_YCC
    if found.samples != 3 or (is_ycc and by_tifffile):
        return None  # tifffile shows 33003 unconverted, which is not imitated here
    return Jpeg2kTiles(location, layout, open_source(location), is_ycc=is_ycc)


def _make_assembler(found: Directory, *, by_tifffile: bool) -> JpegAssembler:
    """Colour: OpenSlide obeys the photometric tag; tifffile lets a stream with JFIF marker decide.

    QuPath writes such streams: the tag says RGB, the tiles are YCbCr and say so by JFIF.
    """
    rgb = found.photometric == RGB
    return JpegAssembler(
        found.tile,
        found.samples,
        found.tables,
        rgb=rgb if rgb or not by_tifffile else None,
        jfif_wins=by_tifffile,
    )
