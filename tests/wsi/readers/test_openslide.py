"""The openslide reader on real slides; the contract on three kinds of file."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from tests.wsi.conftest import MPP, KnownSlide
from wsi import MissingMppError, Point, Region, Size, UnsupportedSlideError, open_slide
from wsi.testing import ReaderTests, SvsSpec, region, write_svs

Pixels = npt.NDArray[np.uint8]


class TestPyramid(ReaderTests):
    reader = "openslide"

    @pytest.fixture
    def location(self, pyramid: KnownSlide) -> str:
        return pyramid.location

    @pytest.fixture
    def base(self, pyramid: KnownSlide) -> Pixels:
        return pyramid.base


class TestBundledSlide(ReaderTests):
    reader = "openslide"

    @pytest.fixture
    def location(self, cmu_slide: Path) -> str:
        return str(cmu_slide)

    @pytest.fixture
    def base(self, cmu_pixels: Pixels) -> Pixels:
        return cmu_pixels


@pytest.fixture(scope="module")
def synthetic_svs(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    path = tmp_path_factory.mktemp("svs") / "synthetic.svs"
    write_svs(path, cmu_slide, (1301, 1111), SvsSpec(tile_px=240, mpp=0.3))
    return path


class TestSyntheticSvs(ReaderTests):
    reader = "openslide"
    thumbnail_tolerance = 8  # its level of 81 px is JPEG, and OpenSlide takes 1/16 for 1/16.08

    @pytest.fixture
    def location(self, synthetic_svs: Path) -> str:
        return str(synthetic_svs)

    @pytest.fixture
    def base(self, synthetic_svs: Path) -> Pixels:
        return np.asarray(tifffile.imread(synthetic_svs, key=0))


def test_metadata_of_the_bundled_slide(cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as slide:
        assert slide.reader == "openslide"
        assert slide.vendor == "aperio"
        assert slide.objective == 20
        assert (slide.mpp.x, slide.mpp.y) == (0.499, 0.499)
        assert slide.mpp.origin == "openslide.mpp-x, openslide.mpp-y"
        assert slide.bounds == Region(Point(0, 0), 0, Size(2220, 2967))
        assert sorted(slide.associated) == ["label", "macro", "thumbnail"]
        assert slide.associated["label"].shape == (463, 387, 3)


def test_mpp_of_a_pyramid_comes_from_its_resolution_tags(pyramid: KnownSlide) -> None:
    with open_slide(pyramid.location) as slide:
        assert slide.mpp.mean == pytest.approx(MPP)


@pytest.mark.slides
def test_tcga_slide_without_mpp_says_how_to_give_one(slides_folder: Path) -> None:
    path = slides_folder / "TCGA-CR-7395-01A-01-TS1.svs"
    with (
        open_slide(path) as slide,
        pytest.raises(MissingMppError, match=r"--slide-mpp 0\.5.*column mpp of a manifest"),
    ):
        _ = slide.mpp
    with open_slide(path, mpp=0.25) as slide:
        assert slide.mpp.x == 0.25


@pytest.mark.slides
def test_tcga_slide_has_a_profile_of_srgb_so_that_it_stays(slides_folder: Path) -> None:
    path = slides_folder / "TCGA-CR-7395-01A-01-TS1.svs"
    tissue = region(2000, 1600, 200, 150)
    outside = region(-10, -10, 5, 5)
    with open_slide(path) as raw, open_slide(path, icc=True) as srgb:
        assert raw.icc_profile is not None
        assert len(raw.icc_profile) == 3144
        assert b"sRGB" in raw.icc_profile
        difference = np.abs(raw.read_region(tissue).astype(int) - srgb.read_region(tissue))
        assert raw.read_region(tissue).std() > 5
        assert difference.max() <= 1
        assert (srgb.read_region(outside) == 255).all()


@pytest.mark.slides
def test_ndpi_has_levels_that_openslide_makes(slides_folder: Path) -> None:
    with open_slide(slides_folder / "test3-DAPI-2-387.ndpi") as slide:
        assert slide.vendor == "hamamatsu"
        assert [level.downsample for level in slide.levels] == [1, 2, 4, 8, 16, 32, 64]
        assert slide.thumbnail(300).shape == (300, 245, 3)
        assert slide.mpp.mean == pytest.approx(0.22818, abs=1e-5)


@pytest.mark.slides
def test_dicom_with_unequal_mpp_keeps_both(slides_folder: Path) -> None:
    with open_slide(slides_folder / "dicom" / "camelyon-lowres-jpeg.dcm") as slide:
        assert slide.vendor == "dicom"
        assert (slide.mpp.x, slide.mpp.y) == (28.969, 28.968)
        assert slide.read_region(region(0, 0, 64, 64)).shape == (64, 64, 3)


def test_a_file_that_openslide_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "notes.svs"
    path.write_text("no slide " * 100)
    with pytest.raises(UnsupportedSlideError, match=r"notes\.svs: OpenSlide does not know"):
        open_slide(path, "openslide")
