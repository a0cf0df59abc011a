"""Pixels of patches: the tile path, the region path, and slow twins of both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile
from PIL import ImageCms

from tests.tiling.archives import Pixels, cut, decibel, mean_of_blocks, read_box, read_level
from tiling.pixels import (
    OK,
    RETRIED,
    UNREADABLE,
    Footprint,
    batches,
    cut_patches,
    decode_reduction,
)
from tiling.reader import PatchReader
from tiling.verify import verify_store
from wsi import RegionError, Size, Slide, open_slide
from wsi.native import NativeTiles
from wsi.readers.openslide import OpenSlideSlide
from wsi.synthetic import SvsSpec, write_svs

LUMA = np.array([0.299, 0.587, 0.114])

# Whole positions inside, across tile borders, and over each edge of 1100 x 900 px.
PLACES = [(0, 0), (37, 501), (128, 256), (700, 333), (1050, 20), (600, 850), (1080, 880), (-30, -5)]


@pytest.fixture(scope="module")
def j2k(tmp_path_factory: pytest.TempPathFactory, tissue_pixels: Pixels) -> Path:
    """A slide whose tiles cannot be reduced while they are decoded."""
    path = tmp_path_factory.mktemp("j2k") / "j2k.svs"
    spec = SvsSpec(tile_px=128, mpp=0.2325, downsamples=(1,), codec="jpeg2k", tissue_fraction=0.8)
    write_svs(path, tissue_pixels, (700, 500), spec)
    return path


@pytest.fixture
def slide(svs: Path) -> Iterator[Slide]:
    with open_slide(svs) as opened:
        yield opened


@pytest.fixture
def j2k_slide(j2k: Path) -> Iterator[Slide]:
    with open_slide(j2k) as opened:
        yield opened


def footprint(patch_px: int, reduction: float | tuple[float, float] = 1.0) -> Footprint:
    x, y = reduction if isinstance(reduction, tuple) else (reduction, reduction)
    return Footprint(patch_px * x, patch_px * y, patch_px, 0, 1.0)


def pixels_at(slide: Slide, what: Footprint, places: Any) -> Pixels:
    """All patches in the order of `places`; every one of them must be good, and come once."""
    origins = np.asarray(places, float)
    cuts = list(cut_patches(slide, what, origins))
    assert sorted(c.position for c in cuts) == list(range(len(origins)))
    assert all((c.status, c.error) == (OK, "") for c in cuts)
    return np.stack([c.pixels for c in sorted(cuts, key=lambda c: c.position)])


def without_tiles(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide, "native_tiles", lambda _: None)


def slow_shares(start: float, extent: float, count: int, length: int) -> npt.NDArray[np.float64]:
    """Overlap of each output pixel's interval with each input pixel's, `(count, length)`."""
    shares = np.zeros((count, length))
    for i in range(count):
        first, last = start + extent * i / count, start + extent * (i + 1) / count
        for j in range(length):
            shares[i, j] = max(0.0, min(last, j + 1) - max(first, j))
    return shares * count / extent


def slow_patch(whole: Pixels, what: Footprint, x: float, y: float) -> npt.NDArray[np.float64]:
    """Area means by exact fractional weights, from all pixels of the level."""
    down = slow_shares(y, what.extent_y, what.patch_px, whole.shape[0])
    across = slow_shares(x, what.extent_x, what.patch_px, whole.shape[1])
    means: npt.NDArray[np.float64] = np.einsum("iy,yxc,jx->ijc", down, whole, across, optimize=True)
    return means


# One to one.


def test_native_pixels_equal_openslide(svs: Path, slide: Slide) -> None:
    found = pixels_at(slide, footprint(100), PLACES)
    with openslide.OpenSlide(svs) as shown:
        for patch, (x, y) in zip(found, PLACES, strict=True):
            rgba = np.asarray(shown.read_region((x, y), 0, (100, 100)))
            inside = rgba[..., 3] == 255
            np.testing.assert_array_equal(patch[inside], rgba[inside][:, :3])
            assert (patch[~inside] == 255).all()


def test_native_224_px_patches_of_the_bundled_slide(tmp_path: Path, cmu_slide: Path) -> None:
    store = cut(tmp_path / "a.zarr", cmu_slide, patch_size_px=224, stride_px=448, encoding="raw")
    reader = PatchReader(store)
    with openslide.OpenSlide(cmu_slide) as shown:
        for i, (x, y) in enumerate(store.coords.tolist()):
            expected = np.asarray(shown.read_region((x, y), 0, (224, 224)))[..., :3]
            np.testing.assert_array_equal(reader[i], expected)


def test_lower_levels_equal_openslide(svs: Path, slide: Slide) -> None:
    level = slide.levels[1]
    what = Footprint(64, 64, 64, 1, level.downsample)
    places = [(0, 0), (33, 70), (128, 100)]
    found = pixels_at(slide, what, places)
    with openslide.OpenSlide(svs) as shown:
        for patch, (x, y) in zip(found, places, strict=True):
            expected = shown.read_region((4 * x, 4 * y), 1, (64, 64))
            np.testing.assert_array_equal(patch, np.asarray(expected)[..., :3])


def test_outside_of_the_slide_is_white(slide: Slide) -> None:
    what = footprint(100)
    (far,) = pixels_at(slide, what, [(5000, 5000)])
    assert (far == 255).all()
    (corner,) = pixels_at(slide, what, [(1050, 850)])
    assert (corner[50:] == 255).all()
    assert (corner[:, 50:] == 255).all()
    assert not (corner[:50, :50] == 255).all()


@pytest.mark.parametrize("reduction", [2, 4])
def test_reduced_patches_are_white_where_the_slide_ends(slide: Slide, reduction: int) -> None:
    what = footprint(100, reduction)
    x, y = 1100 - 40 * reduction, 900 - 60 * reduction
    (patch,) = pixels_at(slide, what, [(x, y)])
    assert (patch[60:] == 255).all()
    assert (patch[:, 40:] == 255).all()
    assert not (patch[:60, :40] == 255).all()


def test_tiles_that_the_file_lacks_are_white_as_openslide_shows_them(
    tmp_path: Path, svs: Path
) -> None:
    path = tmp_path / "sparse.svs"
    path.write_bytes(svs.read_bytes())
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = tiff.pages[0].tags["TileByteCounts"]
        counts.overwrite([0 if at == 10 else n for at, n in enumerate(counts.value)])
    with open_slide(path) as sparse:
        (found,) = pixels_at(sparse, footprint(300), [(50, 60)])
        (tile,) = pixels_at(sparse, footprint(128), [(128, 128)])
    assert (tile == 255).all()
    with openslide.OpenSlide(path) as shown:
        rgba = np.asarray(shown.read_region((50, 60), 0, (300, 300)))
    np.testing.assert_array_equal(found, np.where(rgba[..., 3:] == 0, 255, rgba[..., :3]))


# Reduced.


@pytest.mark.parametrize("reduction", [2, 3, 4, 8])
def test_whole_reductions_are_means_of_blocks(j2k_slide: Slide, reduction: int) -> None:
    whole = read_level(j2k_slide)
    side = 400 // reduction
    (found,) = pixels_at(j2k_slide, footprint(side, reduction), [(130, 90)])
    expected = mean_of_blocks(whole[90:490, 130:530], reduction)
    assert np.abs(found - expected[:side, :side]).max() <= 1


@pytest.mark.parametrize("path", ["tiles", "regions"])
@pytest.mark.parametrize("reduction", [0.5 / 0.2325, 1.04, 3.7, (2.3, 1.6)], ids=str)
def test_fractional_reductions_are_area_means(
    j2k_slide: Slide, monkeypatch: pytest.MonkeyPatch, path: str, reduction: Any
) -> None:
    if path == "regions":
        without_tiles(j2k_slide, monkeypatch)
    what = footprint(48, reduction)
    places = [(0.0, 0.0), (what.extent_x, 0.0), (131.25, 97.6), (2 * what.extent_x, what.extent_y)]
    found = pixels_at(j2k_slide, what, places)
    whole = read_level(j2k_slide)
    for patch, (x, y) in zip(found, places, strict=True):
        assert np.abs(patch - slow_patch(whole, what, x, y)).max() <= 1


@pytest.mark.parametrize("sampling", ["444", "422", "420"])
def test_scaled_decoding_is_area_averaging(
    tmp_path: Path, tissue_pixels: Pixels, sampling: str
) -> None:
    path = tmp_path / "made.svs"
    spec = SvsSpec(tile_px=128, downsamples=(1,), subsampling=sampling, tissue_fraction=1)
    write_svs(path, tissue_pixels, (1024, 896), spec)
    with open_slide(path) as slide:
        whole = read_level(slide)
        for reduction in (2, 4, 8):
            native = slide.native_tiles(0)
            assert native is not None
            assert decode_reduction(native, footprint(64, reduction)) == reduction
            side = 896 // reduction
            (found,) = pixels_at(slide, footprint(side, reduction), [(0, 0)])
            expected = mean_of_blocks(whole[:896, :896], reduction)
            assert decibel(found, expected) >= 45  # measured: 49.6 dB and more, 4:2:0 at 1/4 least
            assert decibel(found @ LUMA, expected @ LUMA) >= 50  # measured: 55.0 dB and more


def test_half_scale_of_the_bundled_slide_is_area_averaging(cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as slide:
        whole = read_level(slide)
        places = [(240 * x, 240 * y) for x in range(8) for y in range(11)]
        found = pixels_at(slide, footprint(120, 2), places)
    tissue = 0
    for patch, (x, y) in zip(found, places, strict=True):
        block = whole[y : y + 240, x : x + 240]
        if (np.ptp(block, axis=2) > 20).mean() > 0.3:
            tissue += 1
            assert decibel(patch, mean_of_blocks(block, 2)) >= 45  # measured: 48.8 to 54 dB
    assert tissue > 30


@pytest.mark.parametrize(
    ("encoding", "least_db"),
    [("auto", 38), ("jpeg:95:420", 33)],  # measured: 39.1 dB, and 34.3 dB as 4:2:0 blurs chroma
)
def test_jpeg_95_of_reduced_patches_is_near_raw(
    tmp_path: Path, svs: Path, encoding: str, least_db: float
) -> None:
    asked = {"mpp": 0.5, "patch_size_px": 120}
    raw = PatchReader(cut(tmp_path / "a.zarr", svs, "raw", encoding="raw", **asked))
    store = cut(tmp_path / "a.zarr", svs, "jpeg", encoding=encoding, **asked)
    if encoding == "auto":
        assert store.attributes["encoding"]["label"] == "jpeg:95"
        assert "reduced 2 x" in store.attributes["encoding"]["reason"]
    jpeg = PatchReader(store)
    assert len(raw) == len(jpeg) == 12
    assert decibel(raw.read(range(12)), jpeg.read(range(12))) >= least_db


@pytest.mark.parametrize("reduction", [1, 2, 3, 2.15])
def test_region_path_equals_tile_path(
    j2k_slide: Slide, monkeypatch: pytest.MonkeyPatch, reduction: float
) -> None:
    what = footprint(60, reduction)
    places = [(0, 0), (97.5, 31.25), (128, 256), (-20, 10), (650, 450)]
    places = places if reduction > 1 else [(int(x), int(y)) for x, y in places]
    by_tiles = pixels_at(j2k_slide, what, places)
    without_tiles(j2k_slide, monkeypatch)
    np.testing.assert_array_equal(pixels_at(j2k_slide, what, places), by_tiles)


def test_region_path_equals_tile_path_on_jpeg(
    slide: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_tiles = pixels_at(slide, footprint(150), PLACES)
    without_tiles(slide, monkeypatch)
    np.testing.assert_array_equal(pixels_at(slide, footprint(150), PLACES), by_tiles)


def test_colours_are_converted_where_icc_is_asked_for(
    tmp_path: Path, svs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srgb = bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    swapped = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    monkeypatch.setattr(OpenSlideSlide, "_read_icc_profile", lambda _: swapped)
    store = cut(tmp_path / "a.zarr", svs, encoding="lossless", icc=True)
    known = store.attributes
    assert (known["icc"], known["encoding"]["label"]) == (True, "lossless")
    assert "converted to sRGB" in known["encoding"]["reason"]
    plain = PatchReader(cut(tmp_path / "a.zarr", svs, "plain"))
    converted = PatchReader(store)
    with open_slide(svs, icc=True) as slide:
        for i, (x, y) in enumerate(store.coords.tolist()):
            np.testing.assert_array_equal(converted[i], read_box(slide, x, y, 128))
            # the profile swaps red and blue; sRGB to sRGB is within 3 grey levels
            assert np.abs(converted[i][..., ::-1].astype(int) - plain[i]).max() <= 3
    with open_slide(svs, icc=True) as slide:
        assert verify_store(store, slide) == []


def test_without_a_profile_tiles_are_copied_even_where_icc_is_asked_for(
    tmp_path: Path, svs: Path
) -> None:
    known = cut(tmp_path / "a.zarr", svs, icc=True).attributes
    assert (known["icc"], known["encoding"]["label"]) == (False, "passthrough")


# What cannot be read.


def damage_tile(path: Path, number: int) -> None:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[number], page.databytecounts[number]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))


@pytest.mark.parametrize("reduction", [1, 2])
def test_only_patches_on_a_broken_tile_are_unreadable(
    tmp_path: Path, svs: Path, reduction: int
) -> None:
    path = tmp_path / "broken.svs"
    path.write_bytes(svs.read_bytes())
    damage_tile(path, 10)  # column 1, row 1: x and y from 128 to 256
    what = footprint(50, reduction)
    places = np.array([(x * 40.0, y * 40.0) for y in range(10) for x in range(10)])
    with open_slide(path) as broken:
        cuts = {c.position: c for c in cut_patches(broken, what, places)}
    ends = places + what.extent_x
    on_tile = ((places < 256) & (ends > 128)).all(axis=1)
    for position, touched in enumerate(on_tile):
        cut_here = cuts[position]
        assert cut_here.status == (UNREADABLE if touched else OK)
        assert ("tile (1, 1)" in cut_here.error) == touched
        if touched:
            assert (cut_here.pixels == 255).all()


@pytest.mark.parametrize("path", ["tiles", "regions"])
def test_what_a_fresh_handle_reads_is_retried(
    slide: Slide, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    good = pixels_at(slide, footprint(100), [(0, 0), (600, 600)])
    if path == "tiles":
        fail_once_by_tile(slide, monkeypatch)
    else:
        without_tiles(slide, monkeypatch)
        fail_once_by_region(slide, monkeypatch)
    cuts = sorted(
        cut_patches(slide, footprint(100), np.array([(0.0, 0.0), (600.0, 600.0)])),
        key=lambda c: c.position,
    )
    assert [c.status for c in cuts] == [RETRIED, OK]
    np.testing.assert_array_equal([c.pixels for c in cuts], good)


def fail_once_by_tile(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    native = slide.native_tiles(0)
    assert native is not None
    read = native.read_many

    def fail(cells: list[tuple[int, int]]) -> list[Any]:
        return [
            RegionError("once") if c == (0, 0) else d
            for c, d in zip(cells, read(cells), strict=True)
        ]

    monkeypatch.setattr(native, "read_many", fail)


def fail_once_by_region(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    read, failures = slide._read, [OSError("once")]

    def fail(*arguments: Any) -> Pixels:
        if failures:
            raise failures.pop()
        return read(*arguments)

    monkeypatch.setattr(slide, "_read", fail)


def test_regions_that_stay_unreadable_are_white(
    slide: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_tiles(slide, monkeypatch)

    def fail(*_: Any) -> NativeTiles:
        raise OSError("gone")

    monkeypatch.setattr(slide, "_read", fail)
    (found,) = cut_patches(slide, footprint(100), np.zeros((1, 2)))
    assert found.status == UNREADABLE
    assert "gone" in found.error
    assert (found.pixels == 255).all()


def test_by_row_gives_the_same_patches_row_after_row(cmu_slide: Path) -> None:
    corners = np.array([(x, y) for y in (0.0, 100.0, 200.0) for x in (0.0, 900.0, 1800.0)])
    with open_slide(str(cmu_slide)) as slide:
        footprint = Footprint(224.0, 224.0, 224, 0, 1.0)
        found = list(cut_patches(slide, footprint, corners, by_row=True))
        usual = {one.position: one for one in cut_patches(slide, footprint, corners)}
    assert [ours.position for ours in found] == list(range(9))
    for ours in found:
        np.testing.assert_array_equal(ours.pixels, usual[ours.position].pixels)
    wide = corners * (300, 1)  # wider than a band
    groups = batches(wide, np.array([224.0, 224.0]), Size(256, 256), 1, by_row=True)
    assert np.concatenate(groups).tolist() == list(range(9))
    bands = batches(wide, np.array([224.0, 224.0]), Size(256, 256), 1)
    assert np.concatenate(bands).tolist() != list(range(9))
