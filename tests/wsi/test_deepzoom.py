"""Deep Zoom addresses against openslide.deepzoom, tile by tile."""

from pathlib import Path

import openslide
import pytest
from openslide.deepzoom import DeepZoomGenerator

from tests.wsi.conftest import KnownSlide
from wsi import DeepZoom, InvalidRequestError, Size, open_slide


@pytest.mark.parametrize(("tile_px", "overlap"), [(254, 1), (256, 0), (100, 3), (33, 0)])
def test_every_address_of_a_pyramid_equals_openslide(
    pyramid: KnownSlide, tile_px: int, overlap: int
) -> None:
    assert_equal_to_openslide(pyramid.location, tile_px, overlap)


@pytest.mark.slides
@pytest.mark.parametrize("name", ["TCGA-CR-7395-01A-01-TS1.svs", "test3-DAPI-2-387.ndpi"])
def test_every_address_of_a_real_slide_equals_openslide(slides_folder: Path, name: str) -> None:
    assert_equal_to_openslide(str(slides_folder / name), 254, 1)


def assert_equal_to_openslide(location: str, tile_px: int, overlap: int) -> None:
    with open_slide(location) as slide, openslide.OpenSlide(location) as theirs:
        expected = DeepZoomGenerator(theirs, tile_px, overlap)
        zoom = DeepZoom(slide.size, tile_px, overlap)
        assert zoom.level_count == expected.level_count
        for level in range(zoom.level_count):
            size, count = zoom.level_size(level), zoom.tile_count(level)
            assert (size.width, size.height) == expected.level_dimensions[level]
            assert (count.width, count.height) == expected.level_tiles[level]
            for column in range(count.width):
                for row in range(count.height):
                    tile = zoom.tile(level, column, row, slide.levels)
                    at, read = tile.region.location, tile.region.size
                    assert expected.get_tile_coordinates(level, (column, row)) == (
                        (at.x, at.y),
                        tile.region.level,
                        (read.width, read.height),
                    )
                    assert expected.get_tile_dimensions(level, (column, row)) == (
                        tile.size.width,
                        tile.size.height,
                    )
        assert zoom.dzi("jpeg") == expected.get_dzi("jpeg")


def test_a_slide_of_one_pixel_has_one_level() -> None:
    zoom = DeepZoom(Size(1, 1))
    assert zoom.level_count == 1
    assert zoom.tile_count(0) == Size(1, 1)


def test_addresses_outside_are_refused(pyramid: KnownSlide) -> None:
    with open_slide(pyramid.location) as slide:
        zoom = DeepZoom(slide.size)
        with pytest.raises(InvalidRequestError, match="no tile 9_0, there are 2 x 2"):
            zoom.tile(zoom.level_count - 1, 9, 0, slide.levels)
    with pytest.raises(InvalidRequestError, match="no Deep Zoom level 99, there are 10"):
        zoom.level_size(99)


@pytest.mark.parametrize("arguments", [(Size(0, 5),), (Size(5, 5), 0), (Size(5, 5), 254, -1)])
def test_impossible_pyramids_are_refused(arguments: tuple[Size, int, int]) -> None:
    with pytest.raises(InvalidRequestError, match="an empty slide or tile"):
        DeepZoom(*arguments)
