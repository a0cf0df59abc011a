"""Where Deep Zoom levels come from."""

from pathlib import Path

import pytest

from service.slides.pyramid import make_pyramid, nominal_downsample
from wsi import Level, Size, open_slide


@pytest.mark.parametrize(
    ("base", "level", "expected"),
    [
        ((4443, 3567), Level(1, Size(2221, 1783), 2.00051), 2),  # a scanner that rounds down
        ((4443, 3567), Level(1, Size(2222, 1784), 1.99955), 2),
        ((4096, 4096), Level(0, Size(4096, 4096), 1.0), 1),
        ((4096, 4096), Level(1, Size(1024, 1024), 4.0), 4),
        ((4096, 4096), Level(1, Size(1365, 1365), 3.0007), None),
        ((4096, 4096), Level(1, Size(1020, 1020), 4.0157), None),
        ((5000, 5000), Level(2, Size(78, 78), 64.1), 64),
        ((90, 90), Level(1, Size(44, 44), 2.045), None),  # one pixel is much of so few
        ((100_000, 80_000), Level(1, Size(50_002, 40_000), 1.99996), None),
    ],
)
def test_powers_of_two_are_told_from_other_reductions(
    base: tuple[int, int], level: Level, expected: int | None
) -> None:
    assert nominal_downsample(Size(*base), level) == expected


def test_levels_come_from_the_coarsest_one_that_is_fine_enough(pyramid_slide: Path) -> None:
    with open_slide(pyramid_slide) as slide:
        pyramid = make_pyramid(slide)
    found = [(origin.level.index, origin.step) for origin in reversed(pyramid.origins)]
    assert found[:7] == [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (2, 4)]
    assert pyramid.zoom.tile_px == 256
    assert pyramid.zoom.overlap == 0
    assert all(origin.is_grid for origin in pyramid.origins)


def test_coarse_levels_come_from_a_picture_unless_the_file_has_them(pyramid_slide: Path) -> None:
    with open_slide(pyramid_slide) as slide:
        pyramid = make_pyramid(slide)
    last = pyramid.zoom.level_count - 1
    assert [pyramid.is_from_overview(last - n) for n in range(6)] == [
        False,  # 2560 px
        False,  # 1280, reduced
        False,  # 640, a level of the file
        True,  # 320
        False,  # 160, a level of the file
        True,  # 80
    ]


def test_tiles_at_the_edges_are_smaller(cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as slide:
        pyramid = make_pyramid(slide)
    level = pyramid.zoom.level_count - 1
    assert pyramid.size_of(level, 0, 0) == Size(240, 240)
    assert pyramid.size_of(level, 9, 12) == Size(2220 - 9 * 240, 2967 - 12 * 240)
    assert pyramid.has(level, 9, 12)
    for outside in ((level, 10, 0), (level, 0, 13), (level + 1, 0, 0), (-1, 0, 0), (level, -1, 0)):
        assert not pyramid.has(*outside)
