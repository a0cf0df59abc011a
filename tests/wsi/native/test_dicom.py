"""DICOM frames against OpenSlide: real files, and the same with other frames put in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom.encaps import encapsulate, encapsulate_extended

from tests.wsi.native.conftest import Pixels
from wsi.errors import RegionError
from wsi.geometry import Size
from wsi.native import NativeTiles, open_native_tiles
from wsi.native.codestream import SOI, iter_segments, name_components
from wsi.native.dicom import scan_frames
from wsi.synthetic.pyramid import cut_tiles

pytestmark = pytest.mark.slides

Difference = Callable[..., int]
JPEG, J2K, J2K_LOSSLESS = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 91, 90))


@pytest.fixture
def folder(slides_folder: Path) -> Path:
    return slides_folder / "dicom"


@pytest.fixture
def template(folder: Path) -> Any:
    """A data set of 5 x 3 frames of 256 px to put other frames into."""
    return pydicom.dcmread(folder / "camelyon-lowres-jpeg.dcm")


def frames_of(tissue: Pixels, encode: Callable[[Pixels], bytes]) -> list[bytes]:
    """Encode 5 x 3 tiles of 1152 x 700 px."""
    return [encode(np.ascontiguousarray(tile)) for tile in cut_tiles(tissue[:700, :1152], 256)]


def encode_ycc(pixels: Pixels) -> bytes:
    return simplejpeg.encode_jpeg(pixels, 80, "RGB", "422")


def encode_bare_rgb(pixels: Pixels) -> bytes:
    full = imagecodecs.jpeg8_encode(
        pixels, 80, colorspace="rgb", outcolorspace="rgb", subsampling="444"
    )
    first = next(iter_segments(bytes(full)))  # the Adobe marker
    return name_components(SOI + bytes(full[first.stop :]), b"\0\1\2")


def encode_j2k(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=40, codecformat="j2k"))


def save(data: Any, path: Path, frames: list[bytes], **changes: Any) -> Path:
    """Write a data set with frames, an empty offset table, and some elements changed."""
    data.PixelData = encapsulate(frames, has_bot=False)
    data["PixelData"].is_undefined_length = True
    for name, value in changes.items():
        if name == "TransferSyntaxUID":
            data.file_meta.TransferSyntaxUID = value
        elif value is None:
            del data[name]
        else:
            setattr(data, name, value)
    data.save_as(path)
    return path


@pytest.mark.parametrize("name", ["camelyon-lowres-jpeg.dcm", "bone-jpeg2000-lossless.dcm"])
def test_real_file_equals_openslide(folder: Path, worst_difference: Difference, name: str) -> None:
    assert worst_difference(folder / name) == 0


def test_uncompressed_has_none(folder: Path) -> None:
    path = str(folder / "sm_image-10px-tiles.dcm")
    assert open_native_tiles(path, 0, Size(50, 50), "openslide") is None


@pytest.mark.parametrize(
    ("encode", "syntax", "photometric"),
    [
        pytest.param(encode_ycc, JPEG, "YBR_FULL_422", id="jpeg-ycc"),
        pytest.param(encode_bare_rgb, JPEG, "RGB", id="jpeg-rgb-unmarked"),
        pytest.param(encode_j2k, J2K, "YBR_ICT", id="jpeg2000-ict"),
        pytest.param(encode_j2k, J2K, "RGB", id="jpeg2000-rgb"),
    ],
)
def test_written_frames_equal_openslide(
    tmp_path: Path,
    template: Any,
    tissue: Pixels,
    worst_difference: Difference,
    encode: Callable[[Pixels], bytes],
    syntax: str,
    photometric: str,
) -> None:
    frames = frames_of(tissue, encode)
    path = save(
        template,
        tmp_path / "a.dcm",
        frames,
        TransferSyntaxUID=syntax,
        PhotometricInterpretation=photometric,
    )
    assert worst_difference(path) == 0


@pytest.mark.parametrize("table", ["none", "basic", "extended"])
def test_frames_are_found_with_every_offset_table(
    tmp_path: Path,
    template: Any,
    tissue: Pixels,
    open_level: Callable[..., NativeTiles],
    table: str,
) -> None:
    frames = frames_of(tissue, encode_ycc)
    path = save(template, tmp_path / "a.dcm", frames)
    if table == "basic":
        template.PixelData = encapsulate(frames, has_bot=True)
    elif table == "extended":
        data, template.ExtendedOffsetTable, template.ExtendedOffsetTableLengths = (
            encapsulate_extended(frames)
        )
        template.PixelData = data
    template.save_as(path)
    tiles = open_level(path)
    found = tiles.read_many([(i % 5, i // 5) for i in range(15)])
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    assert found == padded


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"DimensionOrganizationType": "TILED_SPARSE"}, id="sparse"),
        pytest.param({"ConcatenationUID": "1.2.3"}, id="concatenation"),
        pytest.param({"NumberOfFrames": 30}, id="two-focal-planes"),
        pytest.param({"PhotometricInterpretation": "YBR_PARTIAL_420"}, id="other-colour"),
        pytest.param({"TotalPixelMatrixRows": None}, id="no-size"),
        pytest.param({"ImageType": ["DERIVED", "PRIMARY", "THUMBNAIL", "NONE"]}, id="thumbnail"),
    ],
)
def test_other_organisations_have_none(
    tmp_path: Path, template: Any, tissue: Pixels, changes: dict[str, Any]
) -> None:
    path = save(template, tmp_path / "a.dcm", frames_of(tissue, encode_ycc), **changes)
    assert open_native_tiles(str(path), 0, Size(1152, 700), "openslide") is None


def test_a_series_is_named_by_any_of_its_files(
    tmp_path: Path, template: Any, folder: Path, tissue: Pixels
) -> None:
    big = save(template, tmp_path / "big.dcm", frames_of(tissue, encode_ycc))
    small = save(
        template,
        tmp_path / "small.dcm",
        [encode_ycc(tissue[:256, :256].copy())],
        NumberOfFrames=1,
        TotalPixelMatrixColumns=230,
        TotalPixelMatrixRows=140,
    )
    shutil.copy(folder / "bone-jpeg2000-lossless.dcm", tmp_path / "stranger.dcm")
    (tmp_path / "notes.txt").write_text("no DICOM")
    for named in (big, small):
        tiles = open_native_tiles(str(named), 0, Size(1152, 700), "openslide")
        assert tiles is not None
        assert tiles.location == str(big)
        tiles.close()
        assert open_native_tiles(str(named), 0, Size(957, 715), "openslide") is None


def test_fragmented_frames_have_none(tmp_path: Path, template: Any, tissue: Pixels) -> None:
    frames = frames_of(tissue, encode_ycc)
    template.PixelData = encapsulate(frames, fragments_per_frame=2)
    template.save_as(tmp_path / "a.dcm")
    path = str(tmp_path / "a.dcm")
    assert open_native_tiles(path, 0, Size(1152, 700), "openslide") is None


def test_cut_off_file_has_none_and_says_so(
    tmp_path: Path, template: Any, tissue: Pixels, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(template, tmp_path / "a.dcm", frames_of(tissue, encode_ycc))
    path.write_bytes(path.read_bytes()[:-5000])
    assert open_native_tiles(str(path), 0, Size(1152, 700), "openslide") is None
    assert "no item of pixel data" in caplog.text


def test_a_broken_frame_is_an_error_of_its_own(
    tmp_path: Path, template: Any, tissue: Pixels, open_level: Callable[..., NativeTiles]
) -> None:
    frames = frames_of(tissue, encode_ycc)
    frames[7] = b"\0" * len(frames[7])
    tiles = open_level(save(template, tmp_path / "a.dcm", frames))
    found = tiles.read_many([(1, 1), (2, 1), (3, 1)])
    assert [isinstance(data, bytes) for data in found] == [True, False, True]
    with pytest.raises(RegionError, match=r"tile \(2, 1\): no JPEG"):
        tiles.read(2, 1)


def test_scan_needs_pixel_data(folder: Path) -> None:
    with pytest.raises(ValueError, match="no pixel data"):
        scan_frames(str(folder / "camelyon-lowres-jpeg.dcm"), 100)
