"""What the tests of native tiles share: opening a level, comparing it with the reader."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tiffslide

from wsi.geometry import Size
from wsi.native import NativeTiles, open_native_tiles

Pixels = npt.NDArray[np.uint8]
Show = Callable[[Path, int], Pixels]


def show_by_openslide(path: Path, level: int) -> Pixels:
    """A whole level over white, so that no fractional position is involved: u1 (h, w, 3)."""
    with openslide.OpenSlide(path) as slide:
        rgba = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
    return np.where(rgba[..., 3:] == 0, np.uint8(255), rgba[..., :3])


def show_by_tiffslide(path: Path, level: int) -> Pixels:
    with tiffslide.TiffSlide(path) as slide:
        size = slide.level_dimensions[level]
        return np.asarray(slide.read_region((0, 0), level, size, as_array=True))


READERS: dict[str, Show] = {"openslide": show_by_openslide, "tiffslide": show_by_tiffslide}


@pytest.fixture
def show() -> Callable[[Path, int, str], Pixels]:
    return lambda path, level, reader: READERS[reader](path, level)


@pytest.fixture
def open_level(request: pytest.FixtureRequest) -> Callable[..., NativeTiles]:
    """Open a level's tiles, which must exist; closed after the test."""

    def open_it(path: Path, level: int = 0, reader: str = "openslide") -> NativeTiles:
        opener = openslide.OpenSlide if reader == "openslide" else tiffslide.TiffSlide
        with opener(path) as slide:
            size = Size(*slide.level_dimensions[level])
        tiles = open_native_tiles(str(path), level, size, reader)
        assert tiles is not None
        request.addfinalizer(tiles.close)
        return tiles

    return open_it


@pytest.fixture
def worst_difference(
    open_level: Callable[..., NativeTiles], show: Callable[[Path, int, str], Pixels]
) -> Callable[..., int]:
    """The largest difference between a level's decoded tiles and what its reader shows."""

    def compare(path: Path, level: int = 0, reader: str = "openslide") -> int:
        tiles = open_level(path, level, reader)
        shown = show(path, level, reader).astype(int)
        worst = 0
        for row in range(tiles.rows):
            for column in range(tiles.columns):
                data = tiles.read(column, row)
                if data is None:
                    continue
                top, left = row * tiles.tile.height, column * tiles.tile.width
                part = shown[top : top + tiles.tile.height, left : left + tiles.tile.width]
                decoded = tiles.decode(data)[: part.shape[0], : part.shape[1]]
                worst = max(worst, int(np.abs(decoded - part).max()))
        return worst

    return compare


@pytest.fixture(scope="session")
def tissue(cmu_slide: Path) -> Pixels:
    """Real tissue, u1 (1100, 1300, 3)."""
    with openslide.OpenSlide(cmu_slide) as slide:
        return np.asarray(slide.read_region((700, 1500), 0, (1300, 1100)).convert("RGB"))
