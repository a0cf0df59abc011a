"""A map as a pyramidal OME-TIFF: in its colours, or as class numbers for programs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.files import replacing
from tiling.tissuemap import NO_CLASS, ClassMap, bands
from workflows.mapping.pyramid import Pyramid, level_sizes, regroup

Bytes = NDArray[np.uint8]
Content = Literal["colours", "classes"]

TILE_PX = 512
BIG_PIXELS = 1 << 30
"""Maps of more pixels get offsets of 64 bits."""


def write_ome_tiff(source: ClassMap, path: Path, *, content: Content = "colours") -> int:
    """Write a pyramid that ends with a level of one tile; gives the number of levels.

    The coarser levels wait on disk, beside the file, until the finest one is written.

    Args:
        source: the map.
        path: ends in `.ome.tif` or `.ome.tiff`.
        content: RGB, white where there is no class; or numbers, 255 where there is none.
    """
    import tifffile

    frame = source.frame
    sizes = level_sizes(frame.height_px, frame.width_px, TILE_PX)
    paint = _painter(source, content)
    with replacing(path) as temporary:
        coarse = _Coarse(temporary.parent, sizes)
        big = frame.height_px * frame.width_px > BIG_PIXELS
        with tifffile.TiffWriter(temporary, bigtiff=big, ome=True) as file:
            for level, size in enumerate(sizes):
                rows = coarse.read(level) if level else coarse.feed(bands(source))
                file.write(
                    _tiles(rows, paint),
                    shape=(*size, 3) if content == "colours" else size,
                    subifds=len(sizes) - 1 if level == 0 else None,
                    **_options(source, content, level),
                )
    return len(sizes)


def _options(source: ClassMap, content: Content, level: int) -> dict[str, Any]:
    mpp, scale = source.frame.mpp, 2**level
    names = ", ".join(source.legend.names)
    metadata = {
        "axes": "YXS" if content == "colours" else "YX",
        "PhysicalSizeX": mpp.x,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": mpp.y,
        "PhysicalSizeYUnit": "µm",
        "Description": f"classes, from 0: {names}",
    }
    return {
        "dtype": np.uint8,
        "tile": (TILE_PX, TILE_PX),
        "photometric": "rgb" if content == "colours" else "minisblack",
        "compression": "adobe_deflate",
        "resolution": (1e4 / (mpp.x * scale), 1e4 / (mpp.y * scale)),
        "resolutionunit": "CENTIMETER",
        "subfiletype": 1 if level else 0,
        "metadata": None if level else metadata,
        "maxworkers": 1,
    }


def _painter(source: ClassMap, content: Content) -> Callable[[Bytes], Bytes]:
    palette = source.legend.palette()
    return (lambda classes: palette[classes]) if content == "colours" else (lambda classes: classes)


def _tiles(rows: Iterator[Bytes], paint: Callable[[Bytes], Bytes]) -> Iterator[Bytes]:
    """Cut bands of `TILE_PX` rows into tiles, filled up with no class."""
    for band in rows:
        for left in range(0, band.shape[1], TILE_PX):
            part = band[:, left : left + TILE_PX]
            tile = np.full((TILE_PX, TILE_PX), NO_CLASS, np.uint8)
            tile[: part.shape[0], : part.shape[1]] = part
            yield paint(tile)


class _Coarse:
    """The coarser levels, on disk while the finest one passes."""

    def __init__(self, folder: Path, sizes: list[tuple[int, int]]) -> None:
        self._sizes = sizes
        self._paths = [folder / f"level-{level}.raw" for level in range(len(sizes))]
        self._pyramid = Pyramid(len(sizes), self._append)

    def feed(self, found: Iterator[Bytes]) -> Iterator[Bytes]:
        """Pass the finest level on in bands of `TILE_PX` rows."""
        for band in regroup(found, TILE_PX):
            self._pyramid.add(band)
            yield band

    def _append(self, level: int, rows: Bytes) -> None:
        if level:
            with self._paths[level].open("ab") as file:
                file.write(np.ascontiguousarray(rows).data)

    def read(self, level: int) -> Iterator[Bytes]:
        """Read a coarser level in bands of `TILE_PX` rows, then forget it."""
        self._pyramid.finish()
        width = self._sizes[level][1]
        with self._paths[level].open("rb") as file:
            while data := file.read(width * TILE_PX):
                yield np.frombuffer(data, np.uint8).reshape(-1, width)
        self._paths[level].unlink()
