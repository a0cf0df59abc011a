"""The image reader: plain pictures with and without alpha; the contract on a PNG and a JPEG."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from tests.wsi.conftest import smooth_pixels
from wsi import MissingMppError, UnreadableSlideError, UnsupportedSlideError, open_slide
from wsi.contract import ReaderTests, region

Pixels = npt.NDArray[np.uint8]


class TestPng(ReaderTests):
    reader = "image"

    @pytest.fixture
    def base(self) -> Pixels:
        return smooth_pixels(101, 83)

    @pytest.fixture
    def location(self, tmp_path: Path, base: Pixels) -> str:
        path = tmp_path / "picture.png"
        Image.fromarray(base).save(path)
        return str(path)


class TestJpeg(TestPng):
    tolerance = 40  # chroma subsampling at the chequer's edges

    @pytest.fixture
    def location(self, tmp_path: Path, base: Pixels) -> str:
        path = tmp_path / "picture.jpg"
        Image.fromarray(base).save(path, quality=95, dpi=(300, 300))
        return str(path)


def test_a_png_is_opened_by_this_reader(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(smooth_pixels(20, 30)).save(path)
    with open_slide(path) as slide:
        assert slide.reader == "image"
        assert slide.vendor == "png"


def test_dots_per_inch_are_no_mpp(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(smooth_pixels(20, 30)).save(path, dpi=(300, 300))
    with open_slide(path) as slide, pytest.raises(MissingMppError, match="--slide-mpp"):
        _ = slide.mpp


def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((10, 12, 4), dtype=np.uint8)
    rgba[:, 4:8, 3] = 255
    rgba[:, 8:, 3] = 51  # a fifth
    path = tmp_path / "alpha.png"
    Image.fromarray(rgba).save(path)
    with open_slide(path) as slide:
        row = slide.read_region(region(0, 0, 12, 10))[0, :, 0]
    assert row.tolist() == [255] * 4 + [0] * 4 + [204] * 4


def test_sixteen_bit_pictures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((9, 9), 4000, dtype=np.uint16)).save(path)
    with pytest.raises(UnsupportedSlideError, match="mode I;16; only 8-bit"):
        open_slide(path)


def test_a_picture_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(smooth_pixels(60, 60)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableSlideError, match=r"too large.*convert it to a tiled TIFF"):
        open_slide(path)


def test_profile_of_a_picture_is_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "picture.png"
    Image.fromarray(smooth_pixels(20, 30)).save(path, icc_profile=profile)
    with open_slide(path, icc=True) as slide:
        assert slide.icc_profile == profile
        shown = slide.read_region(region(0, 0, 30, 20)).astype(int)
    assert np.abs(shown - smooth_pixels(20, 30)).max() <= 1


def test_a_truncated_picture_fails_its_regions(tmp_path: Path) -> None:
    from wsi import RegionError

    path = tmp_path / "cut.png"
    Image.fromarray(smooth_pixels(200, 300)).save(path)
    path.write_bytes(path.read_bytes()[:400])
    with open_slide(path) as slide, pytest.raises(RegionError, match="cannot be read"):
        slide.read_region(region(0, 0, 300, 200))
