"""When tiles are copied, and that copies are what OpenSlide shows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

from tests.tiling.archives import EVERYWHERE, Pixels, cut, decibel, options, read_box
from tiling.grid import Grid, Resolution
from tiling.passthrough import choose_encoding, tile_cells, why_not_copy
from tiling.plan import plan_slide
from tiling.reader import PatchReader
from tiling.request import SlideSource
from tiling.store import PatchStore
from wsi import Mpp, Size, open_slide
from wsi.native import NativeTiles
from wsi.synthetic import SvsSpec, write_svs

NATIVE = cast(
    "NativeTiles",
    SimpleNamespace(
        codec="jpeg",
        standalone=True,
        tile=Size(240, 256),
        size=Size(1000, 1000),
        columns=5,
        rows=4,
        byte_counts=np.ones((4, 5), np.int64),
    ),
)
AS_IT_IS = Resolution(0, 1.0, 1.0, None, Mpp(0.25, 0.25))
ON_TILES = Grid(0, 0, 240, 256, 240, 256, 4, 3, 1.0)


def but(**changes: Any) -> NativeTiles:
    return cast("NativeTiles", SimpleNamespace(**(vars(NATIVE) | changes)))


OBSTACLES = [
    pytest.param(None, {}, {}, False, "no JPEG or JPEG 2000 tiles", id="no-native-tiles"),
    pytest.param(NATIVE, {}, {"reduction_x": 2.15}, False, "reduced 2.15 x", id="reduced-x"),
    pytest.param(NATIVE, {}, {"reduction_y": 2.0}, False, "reduced 1 x 2 x", id="reduced-y-only"),
    pytest.param(NATIVE, {}, {}, True, "converted to sRGB", id="icc"),
    pytest.param(but(standalone=False), {}, {}, False, "need a colour conversion", id="colour"),
    pytest.param(NATIVE, {"extent_x": 256}, {}, False, "patches of 256 px are not", id="width"),
    pytest.param(
        NATIVE, {"extent_y": 240}, {}, False, "not the slide's tiles of 240 x 256 px", id="height"
    ),
    pytest.param(NATIVE, {"step_x": 120}, {}, False, "stride is no multiple", id="stride-x"),
    pytest.param(NATIVE, {"step_y": 300}, {}, False, "stride is no multiple", id="stride-y"),
    pytest.param(NATIVE, {"origin_x": 10}, {}, False, "do not begin on its tile grid", id="x"),
    pytest.param(NATIVE, {"origin_y": 1}, {}, False, "do not begin on its tile grid", id="y"),
    pytest.param(NATIVE, {"columns": 5}, {}, False, "hang over the edge", id="hangs-over-right"),
    pytest.param(NATIVE, {"rows": 4}, {}, False, "hang over the edge", id="hangs-over-bottom"),
]


@pytest.mark.parametrize(("native", "grid", "resolution", "icc", "sentence"), OBSTACLES)
def test_every_obstacle_has_its_sentence(
    native: NativeTiles | None,
    grid: dict[str, Any],
    resolution: dict[str, Any],
    icc: bool,
    sentence: str,
) -> None:
    asked, scale = replace(ON_TILES, **grid), replace(AS_IT_IS, **resolution)
    every = np.arange(len(asked))
    assert sentence in str(why_not_copy(native, asked, scale, every, icc=icc))
    for wanted, label in (("auto", "jpeg:95"), ("lossless", "lossless")):
        encoding = choose_encoding(native, asked, scale, every, wanted=wanted, icc=icc)
        assert (encoding.label, encoding.copies) == (label, False)
        assert sentence in encoding.reason


@pytest.mark.parametrize(
    "grid",
    [
        pytest.param({}, id="tile-by-tile"),
        pytest.param({"step_x": 480, "columns": 2}, id="every-second-column"),
        pytest.param({"origin_x": 240, "columns": 3, "origin_y": 512, "rows": 1}, id="bounds"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "lossless"])
def test_patches_that_are_tiles_are_copied(grid: dict[str, Any], wanted: str) -> None:
    asked = replace(ON_TILES, **grid)
    every = np.arange(len(asked))
    assert why_not_copy(NATIVE, asked, AS_IT_IS, every) is None
    encoding = choose_encoding(NATIVE, asked, AS_IT_IS, every, wanted=wanted)
    assert encoding.copies
    assert "own 240 x 256 px tiles" in encoding.reason


def test_only_kept_patches_must_be_inside() -> None:
    hanging = replace(ON_TILES, columns=5)
    inside = np.array([0, 1, 8])
    assert why_not_copy(NATIVE, hanging, AS_IT_IS, inside) is None


@pytest.mark.parametrize("wanted", ["jpeg:80", "raw"])
def test_what_is_asked_by_name_is_done(wanted: str) -> None:
    encoding = choose_encoding(NATIVE, ON_TILES, AS_IT_IS, np.arange(12), wanted=wanted)
    assert (encoding.label, encoding.reason) == (wanted, "as asked")


@pytest.mark.parametrize(
    ("codec", "name"), [("jpeg", "imagecodecs_jpeg"), ("jpeg2k", "imagecodecs_jpeg2k")]
)
def test_the_codec_is_that_of_the_tiles(codec: str, name: str) -> None:
    found = choose_encoding(but(codec=codec), ON_TILES, AS_IT_IS, np.arange(12), wanted="auto")
    assert (found.codec, found.configuration) == (name, ())


def test_tile_cells_equal_a_double_loop() -> None:
    grid = replace(ON_TILES, origin_x=240, origin_y=256, step_x=480, columns=2, rows=2)
    expected = []
    for row in range(2):
        for column in range(2):
            x, y = 240 + 480 * column, 256 + 256 * row
            expected.append(y // 256 * NATIVE.columns + x // 240)
    np.testing.assert_array_equal(tile_cells(NATIVE, grid, np.arange(4)), expected)


def assert_copied(store: PatchStore, slide: Path, mpp: float | None = None) -> None:
    """Pixels are OpenSlide's, bytes stand alone, and none but tables were added to them."""
    assert store.attributes["encoding"]["label"] == "passthrough"
    assert len(store) > 0
    reader = PatchReader(store)
    jpeg = store.attributes["encoding"]["codec"] == "imagecodecs_jpeg"
    decode: Callable[[bytes], Pixels]
    decode = imagecodecs.jpeg8_decode if jpeg else imagecodecs.jpeg2k_decode
    with open_slide(slide, mpp=mpp) as opened, openslide.OpenSlide(slide) as shown:
        native = opened.native_tiles(0)
        assert native is not None
        with tifffile.TiffFile(slide) as tiff:
            tables = len(tiff.pages[0].tags.get(347).value) if 347 in tiff.pages[0].tags else 0
        side = native.tile.width
        for i, (x, y) in enumerate(store.coords.tolist()):
            expected = np.asarray(shown.read_region((x, y), 0, (side, side)))[..., :3]
            # bit for bit; for JPEG 2000 too (measured: 0 grey levels), both decode by OpenJPEG
            np.testing.assert_array_equal(reader[i], expected)
            data = reader.encoded(i)
            np.testing.assert_array_equal(decode(data), expected)
            # 16 bytes: the Adobe marker of tiles that hold RGB
            in_file = native.byte_counts[y // side, x // side]
            assert in_file <= len(data) <= in_file + tables + 16


def test_the_bundled_jpeg_slide_is_copied_bit_for_bit(tmp_path: Path, cmu_slide: Path) -> None:
    store = cut(tmp_path / "a.zarr", cmu_slide, patch_size_px=240)
    assert_copied(store, cmu_slide)
    assert len(store) == 9 * 12  # 2220 x 2967 px hold 9 x 12 whole tiles


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(SvsSpec(tile_px=128, downsamples=(1,), subsampling="422"), id="ycbcr-422"),
        pytest.param(SvsSpec(tile_px=128, downsamples=(1,), subsampling="420"), id="ycbcr-420"),
        pytest.param(SvsSpec(tile_px=240, downsamples=(1,), subsampling="444"), id="ycbcr-444"),
        pytest.param(SvsSpec(tile_px=128, downsamples=(1,), codec="jpeg-rgb"), id="rgb"),
        pytest.param(SvsSpec(tile_px=128, downsamples=(1,), codec="jpeg2k"), id="jpeg2k"),
    ],
)
def test_made_slides_with_shared_tables_are_copied_bit_for_bit(
    tmp_path: Path, tissue_pixels: Pixels, spec: SvsSpec
) -> None:
    path = tmp_path / "made.svs"
    write_svs(path, tissue_pixels, (700, 500), spec)
    assert_copied(cut(tmp_path / "a.zarr", path, patch_size_px=spec.tile_px), path)


@pytest.mark.slides
def test_a_real_jpeg_2000_slide_is_copied(tmp_path: Path, tcga_slide: Path) -> None:
    store = cut(tmp_path / "a.zarr", tcga_slide, slide_mpp=0.25, patch_size_px=256, stride_px=1024)
    assert_copied(store, tcga_slide, 0.25)


def test_unmarked_ycc_jpeg_2000_is_encoded_anew(tmp_path: Path, tissue_pixels: Pixels) -> None:
    path = tmp_path / "ycc.svs"
    spec = SvsSpec(tile_px=128, downsamples=(1,), codec="jpeg2k-ycc")
    write_svs(path, tissue_pixels, 300, spec)
    found = plan_slide(SlideSource("s", str(path)), options())
    assert found.encoding.label == "jpeg:95"
    assert "need a colour conversion" in found.encoding.reason


@pytest.mark.parametrize(
    ("encoding", "least_db"), [("auto", 38), ("raw", 120)]
)  # equal: above 120 dB
def test_tiles_that_the_file_lacks_are_what_the_slide_shows(
    tmp_path: Path, svs: Path, encoding: str, least_db: float
) -> None:
    path = tmp_path / "sparse.svs"
    path.write_bytes(svs.read_bytes())
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = tiff.pages[0].tags["TileByteCounts"]
        lacking = list(counts.value)
        lacking[10] = lacking[20] = 0
        counts.overwrite(lacking)
    asked = {"patch_size_px": 128, "mpp": None, "tissue": EVERYWHERE, "encoding": encoding}
    store = cut(tmp_path / "a.zarr", path, "s", **asked)
    assert len(store) == store.attributes["n_grid"]
    assert not store.status.any()
    reader = PatchReader(store)
    with open_slide(str(path)) as slide:
        for at in (10, 20):
            x, y = 128 * (at % 9), 128 * (at // 9)
            (patch,) = np.flatnonzero((store.coords == (x, y)).all(axis=1))
            assert decibel(reader[patch], read_box(slide, x, y, 128)) >= least_db
