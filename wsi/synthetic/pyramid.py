"""Writes generic pyramid TIFF files whose every pixel is known."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from wsi.errors import InvalidRequestError
from wsi.geometry import Mpp, Size
from wsi.synthetic.container import (
    DESCRIPTION,
    RESOLUTION_UNIT,
    SUBFILE,
    X_RESOLUTION,
    Y_RESOLUTION,
    Page,
    TagValue,
    TiffBuilder,
    image_tags,
)
from wsi.synthetic.encoding import JpegEncoder, Pixels
from wsi.synthetic.svs import reduce_area

PyramidCodec = Literal["raw", "deflate", "jpeg"]


def grid_pattern(width: int, height: int) -> Pixels:
    """Make pixels that say where they are, u1 (height, width, 3), up to 4,096 px.

    Red is the low byte of x, green that of y, blue x // 256 and 16 * (y // 256).
    """
    if max(width, height) > 4096:
        raise InvalidRequestError(f"the pattern repeats beyond 4096 px, got {width} x {height}")
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    channels = np.broadcast_arrays(x & 255, y & 255, (x >> 8) | ((y >> 8) << 4))
    return np.stack(channels, axis=-1).astype(np.uint8)


def write_pyramid(
    path: Path | str,
    base: Pixels,
    *,
    tile_px: int = 256,
    downsamples: tuple[int, ...] = (1, 2, 4),
    codec: PyramidCodec = "raw",
    mpp: Mpp | None = None,
    as_subifds: bool = False,
) -> list[Pixels]:
    """Write a tiled pyramid TIFF and return its levels as they decode, u1 (h, w, 3) each.

    A level is the area mean of the base; what does not fill a whole pixel of it is cut off, so odd
    sizes stay odd. Edge tiles repeat the edge.

    Args:
        path: the file to make.
        base: level 0, u1 (h, w, 3).
        tile_px: side of a tile, a multiple of 16.
        downsamples: base pixels per pixel of each level, from 1.
        codec: "raw" and "deflate" keep pixels, "jpeg" is YCbCr 4:2:0 of quality 90.
        mpp: written as TIFF resolution, x and y apart; None writes none.
        as_subifds: hang the lower levels below the first, as OME-TIFF does, with an OME-XML.
    """
    levels = [reduce_area(base, downsample) for downsample in downsamples]
    pages = [_page(level, i, tile_px, codec) for i, level in enumerate(levels)]
    first = pages[0]
    first.tags.update(_resolution(mpp))
    if as_subifds:
        first.tags[DESCRIPTION] = _ome_xml(levels[0], mpp)
        pages = [Page(first.tags, first.blocks, tuple(pages[1:]))]
    with TiffBuilder(path) as tiff:
        for page in pages:
            tiff.add(page)
    return levels if codec != "jpeg" else [_decoded(level, tile_px) for level in levels]


def _page(level: Pixels, index: int, tile_px: int, codec: PyramidCodec) -> Page:
    size, tile = Size(level.shape[1], level.shape[0]), Size(tile_px, tile_px)
    compression = {"raw": 1, "deflate": 8, "jpeg": 7}[codec]
    tags = image_tags(size, tile, compression=compression, photometric=2)
    tags[SUBFILE] = int(index > 0)
    tiles = cut_tiles(level, tile_px)
    if codec == "jpeg":
        encoder = _encoder()
        return Page(tags | encoder.tags, map(encoder.encode, tiles))
    raw = (tile.tobytes() for tile in tiles)
    return Page(tags, map(zlib.compress, raw) if codec == "deflate" else raw)


def _encoder() -> JpegEncoder:
    return JpegEncoder(90, "420", rgb=False)


def _decoded(level: Pixels, tile_px: int) -> Pixels:
    """Say what a level looks like after its tiles were JPEGs."""
    encoder = _encoder()
    tiles = [encoder.decode(encoder.encode(tile)) for tile in cut_tiles(level, tile_px)]
    columns = -(-level.shape[1] // tile_px)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)[: level.shape[0], : level.shape[1]]


def cut_tiles(level: Pixels, tile_px: int) -> Iterator[Pixels]:
    """Yield a level's tiles row by row; those at the edge repeat it, u1 (tile_px, tile_px, 3)."""
    height, width = level.shape[:2]
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            part = level[top : top + tile_px, left : left + tile_px]
            missing = [(0, tile_px - n) for n in part.shape[:2]]
            yield np.pad(part, [*missing, (0, 0)], mode="edge")


def _resolution(mpp: Mpp | None) -> dict[int, TagValue]:
    """Pixels per centimetre."""
    if mpp is None:
        return {}
    return {RESOLUTION_UNIT: 3, X_RESOLUTION: 1e4 / mpp.x, Y_RESOLUTION: 1e4 / mpp.y}


def _ome_xml(base: Pixels, mpp: Mpp | None) -> str:
    physical = "" if mpp is None else f' PhysicalSizeX="{mpp.x}" PhysicalSizeY="{mpp.y}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" Interleaved="true"'
        f' SizeX="{base.shape[1]}" SizeY="{base.shape[0]}" SizeC="3" SizeZ="1" SizeT="1"{physical}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )
