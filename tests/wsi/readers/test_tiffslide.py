"""The tiffslide reader: OME-TIFF, URLs, refusals; the contract on four files."""

from pathlib import Path

import fsspec
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from tests.wsi.conftest import KnownSlide, smooth_pixels
from wsi import Mpp, RegionError, UnsupportedSlideError, open_slide
from wsi.testing import ReaderTests, region, write_pyramid

Pixels = npt.NDArray[np.uint8]


class TestPyramid(ReaderTests):
    reader = "tiffslide"

    @pytest.fixture
    def location(self, pyramid: KnownSlide) -> str:
        return pyramid.location

    @pytest.fixture
    def base(self, pyramid: KnownSlide) -> Pixels:
        return pyramid.base


class TestBundledSlide(ReaderTests):
    reader = "tiffslide"

    @pytest.fixture
    def location(self, cmu_slide: Path) -> str:
        return str(cmu_slide)

    @pytest.fixture
    def base(self, cmu_pixels: Pixels) -> Pixels:
        return cmu_pixels


class TestRemote(ReaderTests):
    reader = "tiffslide"

    @pytest.fixture
    def location(self, pyramid: KnownSlide) -> str:
        url = "memory://slides/pyramid.tif"
        with fsspec.open(url, "wb") as file:
            file.write(Path(pyramid.location).read_bytes())
        return url

    @pytest.fixture
    def base(self, pyramid: KnownSlide) -> Pixels:
        return pyramid.base


class TestOmePyramid(ReaderTests):
    """Lower levels hang below the first one, where OpenSlide does not see them."""

    reader = "tiffslide"

    @pytest.fixture
    def base(self) -> Pixels:
        return smooth_pixels(257, 333)

    @pytest.fixture
    def location(self, tmp_path: Path, base: Pixels) -> str:
        path = tmp_path / "pyramid.ome.tif"
        write_pyramid(path, base, tile_px=64, mpp=Mpp(0.25, 0.26), as_subifds=True)
        return str(path)

    def test_it_is_the_default_for_its_name(self, location: str) -> None:
        with open_slide(location) as slide:
            assert slide.reader == "tiffslide"
            assert len(slide.levels) == 3
            assert (slide.mpp.x, slide.mpp.y) == (0.25, 0.26)


def write_ome(path: Path, pixels: npt.NDArray[np.generic], **metadata: object) -> str:
    tifffile.imwrite(path, pixels, ome=True, tile=(64, 64), metadata=metadata)
    return str(path)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [("µm", 0.5, 0.5), ("nm", 500.0, 0.5), ("mm", 0.0005, 0.5)],
    ids=["micron", "nanometre", "millimetre"],
)
def test_ome_physical_sizes_in_any_unit(
    tmp_path: Path, unit: str, value: float, expected: float
) -> None:
    path = write_ome(
        tmp_path / "a.ome.tif",
        smooth_pixels(100, 130),
        PhysicalSizeX=value,
        PhysicalSizeXUnit=unit,
        PhysicalSizeY=value * 2,
        PhysicalSizeYUnit=unit,
    )
    with open_slide(path) as slide:
        assert slide.reader == "tiffslide"
        assert slide.mpp.x == pytest.approx(expected)
        assert slide.mpp.y == pytest.approx(expected * 2)
        assert slide.mpp.origin == "ome.PhysicalSizeX, ome.PhysicalSizeY"


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    grey = smooth_pixels(100, 130)[..., 0]
    path = write_ome(tmp_path / "grey.ome.tif", grey)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(
            slide.read_region(region(0, 0, 130, 100)), np.repeat(grey[..., None], 3, axis=2)
        )


def test_sixteen_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "deep.ome.tif", np.full((100, 130), 4000, dtype=np.uint16))
    with open_slide(path) as slide, pytest.raises(RegionError, match="1 x uint16; only 8-bit"):
        slide.read_region(region(0, 0, 10, 10))


def test_no_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.tif"
    path.write_text("no slide " * 100)
    with pytest.raises(UnsupportedSlideError, match=r"notes\.tif: not a TIFF"):
        open_slide(path, "tiffslide")


def write_naming(path: Path, root: str, named: str) -> str:
    """An OME-TIFF whose OME-XML has this text in its root, and this in its TiffData."""
    xml = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {root}>'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        'SizeX="130" SizeY="100" '
        'SizeC="3" SizeZ="1" SizeT="1"><Channel ID="Channel:0" SamplesPerPixel="3"/>'
        f'<TiffData IFD="0" PlaneCount="1">{named}</TiffData></Pixels></Image></OME>'
    )
    pixels = np.full((100, 130, 3), 9, np.uint8)
    tifffile.imwrite(path, pixels, tile=(64, 64), description=xml, metadata=None)
    return str(path)


@pytest.mark.parametrize("root", ["", 'UUID="urn:uuid:a"'], ids=["nameless", "named"])
@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
def test_a_file_whose_pixels_lie_in_another_is_refused(
    tmp_path: Path, root: str, absolute: bool
) -> None:
    (tmp_path / "own").mkdir()
    other = tmp_path / "secret.tif"
    tifffile.imwrite(other, np.full((100, 130, 3), 200, np.uint8), tile=(64, 64))
    name = other if absolute else "../secret.tif"
    named = f'<UUID FileName="{name}">urn:uuid:b</UUID>'
    path = write_naming(tmp_path / "own" / "a.ome.tif", root, named)
    with pytest.raises(UnsupportedSlideError, match="lie in other files"):
        open_slide(path, "tiffslide")


@pytest.mark.parametrize(
    ("root", "named"),
    [
        ('UUID="urn:uuid:a"', '<UUID FileName="before.ome.tif">urn:uuid:a</UUID>'),
        ("", '<UUID FileName="A.ome.tif">urn:uuid:a</UUID>'),
        ("", ""),
    ],
    ids=["renamed", "by-its-name", "unsaid"],
)
def test_a_file_that_names_itself_has_its_own_pixels(tmp_path: Path, root: str, named: str) -> None:
    path = write_naming(tmp_path / "a.ome.tif", root, named)
    with open_slide(path) as slide:
        assert slide.reader == "tiffslide"
        assert (slide.read_region(region(0, 0, 130, 100)) == 9).all()


def test_a_file_with_its_metadata_elsewhere_is_refused(tmp_path: Path) -> None:
    xml = '<OME><BinaryOnly MetadataFile="../all.ome.tif" UUID="urn:uuid:a"/></OME>'
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((9, 9, 3), np.uint8), description=xml, metadata=None)
    with pytest.raises(UnsupportedSlideError, match="lie in other files"):
        open_slide(path, "tiffslide")


@pytest.mark.slides
def test_ome_tiff_with_unequal_mpp(slides_folder: Path) -> None:
    with open_slide(slides_folder / "OS-2-ndpi.ome.tif") as slide:
        assert slide.reader == "tiffslide"
        assert slide.mpp.x == 0.2270972430394695
        assert slide.mpp.y == 0.22710240047237298
        assert slide.read_region(region(500, 500, 300, 200)).std() > 5


@pytest.mark.slides
def test_icc_profile_is_the_one_that_openslide_finds(slides_folder: Path) -> None:
    path = slides_folder / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path, "tiffslide") as first, open_slide(path, "openslide") as second:
        assert first.icc_profile == second.icc_profile
