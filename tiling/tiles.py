"""Native tiles of one level, decoded once and put together; positions are in its pixels."""

import numpy as np
from numpy.typing import NDArray

from tiling.area import Pixels
from wsi.area import block_mean
from wsi.errors import RegionError
from wsi.geometry import Point, Region
from wsi.native import NativeTiles
from wsi.slide import Slide

Cell = tuple[int, int]
Box = tuple[int, int, int, int]

OK, RETRIED, UNREADABLE = 0, 1, 2


def covering(corner: NDArray[np.float64], extent: NDArray[np.float64]) -> Box:
    """Whole pixels that cover the patch: left, top, right, bottom; 1e-6 px is rounding."""
    left, top = np.floor(corner + 1e-6).astype(int)
    right, bottom = np.ceil(corner + extent - 1e-6).astype(int)
    return int(left), int(top), int(right), int(bottom)


def shown_tile(slide: Slide, native: NativeTiles, cell: Cell) -> Pixels:
    """Read what the slide shows where a tile is, `(h, w, 3)`; some formats leave tiles out.

    Raises:
        RegionError: it cannot be read.
    """
    downsample = slide.levels[native.level].downsample
    x, y = cell[0] * native.tile.width, cell[1] * native.tile.height
    corner = Point(round(x * downsample), round(y * downsample))
    return slide.read_region(Region(corner, native.level, native.tile))


class DecodedTiles:
    """Tiles of one level, decoded at 1/`scale`, kept as long as the batches ask for them."""

    def __init__(self, slide: Slide, native: NativeTiles, scale: int) -> None:
        self._slide, self._native, self._scale = slide, native, scale
        self._width, self._height = native.tile.width // scale, native.tile.height // scale
        self._found: dict[Cell, bytes | RegionError | None] = {}
        self._pixels: dict[Cell, Pixels | None] = {}
        self._trouble: dict[Cell, tuple[int, str]] = {}

    def cells(self, box: Box) -> list[Cell]:
        """Tiles (column, row) under a box; positions outside the level are left out."""
        left, top, right, bottom = box
        columns = range(
            max(0, left // self._width), min(self._native.columns, -(-right // self._width))
        )
        rows = range(
            max(0, top // self._height), min(self._native.rows, -(-bottom // self._height))
        )
        return [(column, row) for row in rows for column in columns]

    def hold(self, wanted: set[Cell]) -> None:
        """Read what is wanted and not here yet, and forget the rest."""
        self._pixels = {cell: p for cell, p in self._pixels.items() if cell in wanted}
        missing = sorted(wanted - self._pixels.keys(), key=lambda cell: (cell[1], cell[0]))
        found = self._native.read_many(missing)
        self._found = dict(zip(missing, found, strict=True))

    def _decoded(self, cell: Cell) -> Pixels | None:
        """Decode once, right before use, while the processor still has the pixels at hand."""
        if cell not in self._pixels:
            self._pixels[cell] = self._decode(cell, self._found.pop(cell))
        return self._pixels[cell]

    def _decode(self, cell: Cell, data: bytes | RegionError | None) -> Pixels | None:
        try:
            if data is None:
                return block_mean(shown_tile(self._slide, self._native, cell), self._scale)
            if isinstance(data, RegionError):
                raise data
            return self._native.decode(data, self._scale)
        except RegionError as err:
            return self._again(cell, str(err))

    def _again(self, cell: Cell, first_error: str) -> Pixels | None:
        try:
            self._slide.reopen()
            self._native = self._slide.native_tiles(self._native.level) or self._native
            data = self._native.read(*cell)
            pixels = None if data is None else self._native.decode(data, self._scale)
        except RegionError as err:
            self._trouble[cell] = UNREADABLE, str(err)
            return None
        self._trouble[cell] = RETRIED, first_error
        return pixels

    def state(self, cells: list[Cell]) -> tuple[int, str]:
        """Worst status among tiles that were assembled, and its sentence."""
        found = [self._trouble[cell] for cell in cells if cell in self._trouble]
        return max(found, default=(OK, ""))

    def assemble(self, box: Box) -> Pixels:
        """Put a box together, `(h, w, 3)`; white where the level, or a tile of it, is not."""
        left, top, right, bottom = box
        level = self._native.size
        width, height = level.width // self._scale, level.height // self._scale
        tiles = [(cell, self._decoded(cell)) for cell in self.cells(box)]
        canvas = np.empty((bottom - top, right - left, 3), np.uint8)
        whole = left >= 0 and top >= 0 and right <= width and bottom <= height
        if not whole or any(pixels is None for _, pixels in tiles):
            canvas.fill(255)
        for (column, row), pixels in tiles:
            if pixels is not None:
                self._paste(canvas, pixels, column * self._width - left, row * self._height - top)
        canvas[max(0, height - top) :] = 255
        canvas[:, max(0, width - left) :] = 255
        return canvas

    def _paste(self, canvas: Pixels, pixels: Pixels, x: int, y: int) -> None:
        height, width = canvas.shape[:2]
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + self._width, width), min(y + self._height, height)
        canvas[y0:y1, x0:x1] = pixels[y0 - y : y1 - y, x0 - x : x1 - x]
