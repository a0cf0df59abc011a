"""Pictures for the report."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tiling import preview

NO_TISSUE = np.zeros((10, 20), np.bool_)
NO_PATCHES = np.zeros((0, 2), np.int64)


def white(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 255, np.uint8)


def test_an_overview_of_nothing_is_the_thumbnail() -> None:
    drawn = preview.draw_overview(white(100, 200), NO_TISSUE, NO_PATCHES, (10, 10), (2000, 1000))
    assert (drawn == 255).all()


def test_an_overview_is_at_most_so_large() -> None:
    thumbnail = white(300, 600)
    drawn = preview.draw_overview(
        thumbnail, NO_TISSUE, NO_PATCHES, (10, 10), (2000, 1000), max_px=150
    )
    assert drawn.shape == (75, 150, 3)
    assert (thumbnail == 255).all()


def test_patches_are_outlined_where_they_lie() -> None:
    coords = np.array([[500, 200]])
    drawn = preview.draw_overview(white(100, 200), NO_TISSUE, coords, (300, 300), (2000, 1000))
    changed = np.argwhere((drawn != 255).any(axis=2))
    assert changed.min(axis=0).tolist() == [20, 50]
    assert changed.max(axis=0).tolist() == [50, 80]
    assert tuple(drawn[20, 60]) == preview.PATCH_COLOUR
    assert tuple(drawn[30, 60]) == (255, 255, 255)


def test_small_patches_are_tinted() -> None:
    coords = np.array([[500, 200], [530, 200]])
    drawn = preview.draw_overview(white(100, 200), NO_TISSUE, coords, (30, 30), (2000, 1000))
    tinted = (drawn != 255).any(axis=2)
    assert np.argwhere(tinted).tolist() == [[r, c] for r in range(20, 23) for c in range(50, 56)]
    assert drawn[21, 51].min() > 150


def test_the_outline_follows_the_mask_of_another_grid() -> None:
    mask = NO_TISSUE.copy()
    mask[2:5, 5:9] = True
    drawn = preview.draw_overview(white(100, 200), mask, NO_PATCHES, (10, 10), (2000, 1000))
    line = np.argwhere((drawn == preview.TISSUE_COLOUR).all(axis=2))
    assert line.min(axis=0).tolist() == [19, 49]
    assert line.max(axis=0).tolist() == [50, 90]
    assert (drawn[25:45, 55:85] == 255).all()


def test_dark_pictures_get_light_lines() -> None:
    mask = NO_TISSUE.copy()
    mask[2:5, 5:9] = True
    drawn = preview.draw_overview(white(100, 200) * 0, mask, NO_PATCHES, (10, 10), (2000, 1000))
    assert (drawn == preview.DARK_TISSUE_COLOUR).all(axis=2).any()


def test_a_contact_sheet_shows_patches_row_by_row() -> None:
    patches = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 50, 100)])
    sheet = preview.contact_sheet(patches, columns=2, cell_px=4, gap_px=1)
    assert sheet.shape == (11, 11, 3)
    assert [sheet[2, 2, 0], sheet[2, 7, 0], sheet[7, 2, 0], sheet[7, 7, 0]] == [0, 50, 100, 255]


def test_a_contact_sheet_of_nothing_is_white() -> None:
    sheet = preview.contact_sheet(np.zeros((0, 8, 8, 3), np.uint8), columns=2, cell_px=4, gap_px=1)
    assert sheet.shape == (6, 11, 3)
    assert (sheet == 255).all()


@pytest.mark.parametrize(
    ("count", "wanted", "expected"), [(5, 3, [0, 2, 4]), (2, 8, [0, 1]), (0, 4, []), (9, 1, [0])]
)
def test_patches_are_picked_evenly(count: int, wanted: int, expected: list[int]) -> None:
    assert preview.pick_evenly(count, wanted).tolist() == expected


def test_outlines_enclose_the_mask_and_its_holes() -> None:
    from tiling.masks import fill_rings

    mask = np.zeros((30, 40), np.bool_)
    mask[5:20, 0:30] = True
    mask[10:15, 10:20] = False
    outlines = preview.tissue_outlines(mask)
    assert len(outlines) == 2
    assert all((line[0] == line[-1]).all() for line in outlines)
    assert (fill_rings(outlines, mask.shape) == mask).all()


def test_pictures_are_encoded() -> None:
    picture = white(5, 7)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(preview.encode_png(picture)))), picture)
    assert Image.open(io.BytesIO(preview.encode_jpeg(picture))).format == "JPEG"
