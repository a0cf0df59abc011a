"""A map as a Deep Zoom layer: `<name>.dzi` and the folder `<name>_files` of PNG tiles."""

import shutil
import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.files import write_whole
from tiling.tissuemap import NO_CLASS, ClassMap, bands
from workflows.mapping.pyramid import Pyramid
from wsi.deepzoom import DeepZoom
from wsi.geometry import Size

Bytes = NDArray[np.uint8]

TILE_PX = 512


def write_dzi(source: ClassMap, path: Path) -> int:
    """Write the layer; gives the number of tiles. Transparent where there is no class.

    Args:
        source: the map.
        path: of the `.dzi` file, which comes last; the tiles lie beside it.
    """
    zoom = DeepZoom(Size(source.frame.width_px, source.frame.height_px), TILE_PX, overlap=0)
    folder = path.with_name(f"{path.stem}_files")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp")
    tiles = _Tiles(temporary, zoom.level_count, source.legend.palette())
    try:
        pyramid = Pyramid(zoom.level_count, tiles.take)
        for band in bands(source):
            pyramid.add(band)
        pyramid.finish()
        tiles.finish()
        path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    write_whole(path, zoom.dzi("png").encode())
    return tiles.count


class _Tiles:
    """Cuts rows of all levels into tiles; holds less than a row of tiles per level."""

    def __init__(self, folder: Path, levels: int, palette: Bytes) -> None:
        self._folder, self._levels = folder, levels
        self._palette: list[int] = palette.ravel().tolist()
        self._held: dict[int, list[Bytes]] = {}
        self._rows = dict.fromkeys(range(levels), 0)
        self.count = 0

    def take(self, level: int, rows: Bytes) -> None:
        """Take the next rows of a level, 0 the finest."""
        held = self._held.setdefault(level, [])
        held.append(rows)
        if sum(map(len, held)) < TILE_PX:
            return
        joined = np.concatenate(held)
        whole = len(joined) // TILE_PX * TILE_PX
        for top in range(0, whole, TILE_PX):
            self._write_row(level, joined[top : top + TILE_PX])
        self._held[level] = [joined[whole:].copy()]

    def finish(self) -> None:
        """Write the last rows."""
        for level, held in self._held.items():
            joined = np.concatenate(held)
            if len(joined):
                self._write_row(level, joined)

    def _write_row(self, level: int, rows: Bytes) -> None:
        folder = self._folder / str(self._levels - 1 - level)
        folder.mkdir(parents=True, exist_ok=True)
        row = self._rows[level]
        self._rows[level] += 1
        for column, left in enumerate(range(0, rows.shape[1], TILE_PX)):
            self._write(folder / f"{column}_{row}.png", rows[:, left : left + TILE_PX])
            self.count += 1

    def _write(self, path: Path, classes: Bytes) -> None:
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(classes))
        picture.putpalette(self._palette)
        picture.save(path, "PNG", transparency=NO_CLASS, compress_level=1)
