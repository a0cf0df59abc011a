"""Thumbnails: sizes, levels, damaged places, and the two ways to a level's pixels."""

import numpy as np
import pytest

from tests.wsi.conftest import smooth_pixels
from wsi import thumbnail
from wsi.color import Pixels
from wsi.contract import slow_area_mean
from wsi.errors import RegionError
from wsi.geometry import Level, Region, Size
from wsi.thumbnail import Blocks, best_level, level_extent, make_thumbnail, thumbnail_size

LEVELS = tuple(Level(index, Size(1000 >> index, 600 >> index), 2.0**index) for index in range(4))


@pytest.mark.parametrize(
    ("size", "max_px", "expected"),
    [
        (Size(1000, 600), 100, Size(100, 60)),
        (Size(600, 1000), 100, Size(60, 100)),
        (Size(50, 60), 100, Size(50, 60)),
        (Size(100_000, 3), 100, Size(100, 1)),
    ],
)
def test_sizes_keep_the_shape(size: Size, max_px: int, expected: Size) -> None:
    assert thumbnail_size(size, max_px) == expected


@pytest.mark.parametrize(("max_px", "index"), [(1000, 0), (501, 0), (500, 1), (126, 2), (9, 3)])
def test_the_coarsest_level_that_is_large_enough(max_px: int, index: int) -> None:
    assert best_level(LEVELS, thumbnail_size(LEVELS[0].size, max_px)).index == index


def test_padding_of_a_level_does_not_count() -> None:
    padded = Level(1, Size(512, 512), 2.0)
    assert level_extent(Size(901, 600), padded) == (450.5, 300)


class Picture:
    """A level in memory, with places that cannot be read."""

    def __init__(self, pixels: Pixels, *bad: tuple[int, int]) -> None:
        self.pixels = pixels
        self.bad = bad
        self.level = Level(0, Size(pixels.shape[1], pixels.shape[0]), 1.0)

    def read(self, region: Region) -> Pixels:
        x, y = region.location.x, region.location.y
        right, bottom = x + region.size.width, y + region.size.height
        if any(x <= column < right and y <= row < bottom for column, row in self.bad):
            raise RegionError("damaged")
        return self.pixels[y:bottom, x:right]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks from a small picture."""
    monkeypatch.setattr(thumbnail, "BLOCK_WIDTH", 100)
    monkeypatch.setattr(thumbnail, "BLOCK_HEIGHT", 64)
    monkeypatch.setattr(thumbnail, "PIECE", 16)
    return


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("max_px", [1, 10, 33, 77, 400, 401])
def test_many_blocks_make_the_area_mean(max_px: int) -> None:
    picture = Picture(smooth_pixels(303, 401))
    size = picture.level.size
    target = thumbnail_size(size, max_px)
    made = make_thumbnail(Blocks(picture.read, picture.level, target), size, picture.level, target)
    expected = slow_area_mean(picture.pixels, target.height, target.width)
    assert made.shape == expected.shape
    difference = np.abs(made - expected)
    # Blocks that an edge cuts are shared out as if they were even: at most 1 / OVERSAMPLING of a
    # pixel, where the chequer has steps of 100.
    assert difference.max() <= 25
    assert difference.mean() < 3


@pytest.mark.usefixtures("small_blocks")
def test_a_damaged_place_costs_one_piece() -> None:
    pixels = np.zeros((303, 401, 3), dtype=np.uint8)
    picture = Picture(pixels, (150, 70))
    size = picture.level.size
    blocks = Blocks(picture.read, picture.level, size)
    made = make_thumbnail(blocks, size, picture.level, size)
    assert blocks.unreadable == 1
    assert made[70, 150, 0] == 255
    assert (made == 255).all(axis=2).sum() == thumbnail.PIECE**2


@pytest.mark.usefixtures("small_blocks")
def test_nothing_readable_is_an_error() -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    everywhere = [(x, y) for x in range(30) for y in range(20)]
    picture = Picture(pixels, *everywhere)
    size = picture.level.size
    with pytest.raises(RegionError, match="none of 4 pieces is readable"):
        make_thumbnail(Blocks(picture.read, picture.level, size), size, picture.level, size)
