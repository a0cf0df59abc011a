"""Decoded blocks that several open slides keep in one memory."""

from pathlib import Path

import numpy as np

from tests.wsi.conftest import KnownSlide
from wsi import Point, Region, Size, open_slide
from wsi.handle import SharedCache

HERE = Region(Point(300, 300), 0, Size(200, 200))


def test_slides_that_share_a_cache_show_the_same_pixels(cmu_slide: Path) -> None:
    cache = SharedCache(1 << 20)
    with open_slide(cmu_slide) as alone, open_slide(cmu_slide) as one, open_slide(cmu_slide) as two:
        assert one.share_cache(cache)
        assert two.share_cache(cache)
        expected = alone.read_region(HERE)
        for slide in (one, two, one):
            assert np.array_equal(slide.read_region(HERE), expected)
    assert list(cache.made) == ["openslide"]


def test_a_reader_without_blocks_says_so(pyramid: KnownSlide) -> None:
    with open_slide(pyramid.location, reader="tiffslide") as slide:
        assert not slide.share_cache(SharedCache(1 << 20))
