"""OpenSlide and TiffSlide on the same file, pixel by pixel; each difference has its reason."""

from pathlib import Path

import numpy as np
import pytest

from tests.wsi.conftest import KnownSlide
from wsi import open_slide
from wsi.contract import region


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (64, 32), (-40, 90), (100, 80)])
def test_pyramid_is_equal_on_whole_pixels(pyramid: KnownSlide, level: int, x: int, y: int) -> None:
    with (
        open_slide(pyramid.location, "openslide") as first,
        open_slide(pyramid.location, "tiffslide") as second,
    ):
        # An odd-sized level has no whole downsample (333 / 167), so OpenSlide interpolates there,
        # and mixes the last, partly covered column and row with white: those are not asked.
        tolerance = 0 if level == 0 else 60
        asked = region(x, y, 50, 40, level)
        difference = first.read_region(asked).astype(int) - second.read_region(asked)
        assert np.abs(difference).max() <= tolerance
        assert np.abs(difference).mean() < 4


def test_bundled_slide_is_equal(cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as first, open_slide(cmu_slide, "tiffslide") as second:
        whole = region(-3, -5, 2230, 2980)
        np.testing.assert_array_equal(first.read_region(whole), second.read_region(whole))
        assert first.levels == second.levels
        assert (first.mpp.x, first.mpp.y) == (second.mpp.x, second.mpp.y)
        assert (first.vendor, first.objective) == (second.vendor, second.objective)
        assert set(first.associated) == set(second.associated)


@pytest.mark.slides
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("TCGA-CR-7395-01A-01-TS1.svs", 1),  # two decoders of JPEG 2000
        ("test3-DAPI-2-387.ndpi", 0),
        ("masks/pyramidal-tissue-mask/hs2p-test-mask.tif", 0),
    ],
)
def test_real_slides_are_equal_at_level_0(slides_folder: Path, name: str, tolerance: int) -> None:
    path = slides_folder / name
    with open_slide(path, "openslide") as first, open_slide(path, "tiffslide") as second:
        for x, y in [(0, 0), (600, 500), (2000, 1500)]:
            asked = region(x, y, 300, 200)
            difference = first.read_region(asked).astype(int) - second.read_region(asked)
            assert np.abs(difference).max() <= tolerance
