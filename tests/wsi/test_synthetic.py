"""The writers of synthetic slides, seen through OpenSlide and tifffile."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile

from wsi.errors import InvalidRequestError
from wsi.geometry import Mpp
from wsi.synthetic import SvsSpec, grid_pattern, write_pyramid, write_svs
from wsi.synthetic.container import Page, TiffBuilder, image_tags
from wsi.synthetic.svs import paste, reduce_area
from wsi.synthetic.texture import CELLS, tissue_share, upsample, walk

Pixels = npt.NDArray[np.uint8]


def show(path: Path, level: int) -> Pixels:
    with openslide.OpenSlide(path) as slide:
        whole = slide.read_region((0, 0), level, slide.level_dimensions[level])
    return np.asarray(whole.convert("RGB"))


@pytest.fixture(scope="module")
def svs(tmp_path_factory: pytest.TempPathFactory, cmu_slide: Path) -> Path:
    """5,000 x 4,100 px, three levels."""
    path = tmp_path_factory.mktemp("svs") / "a.svs"
    write_svs(path, cmu_slide, (5000, 4100), SvsSpec(mpp=0.2501, seed=3))
    return path


def test_openslide_knows_an_aperio_slide(svs: Path) -> None:
    with openslide.OpenSlide(svs) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == 0.2501
        assert slide.properties["openslide.objective-power"] == "40"
        assert slide.level_dimensions == ((5000, 4100), (1250, 1025), (312, 256))
        assert slide.properties["openslide.level[0].tile-width"] == "256"
        assert set(slide.associated_images) == {"thumbnail", "label", "macro"}
        assert slide.associated_images["thumbnail"].size == (312, 256)


def test_about_half_is_tissue_and_the_rest_is_glass(svs: Path) -> None:
    low = show(svs, 2).astype(int)
    is_glass = (np.ptp(low, axis=2) < 12) & (low.mean(axis=2) > 230)
    assert 0.35 < is_glass.mean() < 0.7
    assert is_glass[0].all()
    assert is_glass[:, -1].all()


def test_lower_levels_are_area_means_of_what_is_shown(tmp_path: Path, cmu_slide: Path) -> None:
    spec = SvsSpec(quality=98, codec="jpeg-rgb")
    write_svs(tmp_path / "a.svs", cmu_slide, (1300, 1100), spec)
    for level in (0, 1):
        upper, lower = (show(tmp_path / "a.svs", at) for at in (level, level + 1))
        mean = reduce_area(upper, 4)[: lower.shape[0], : lower.shape[1]]
        assert np.abs(lower - mean.astype(float)).mean() < 1.5  # what JPEG 98 changes


def test_tiles_share_tables_and_have_bytes_of_their_own(svs: Path) -> None:
    with tifffile.TiffFile(svs) as tif:
        page = tif.pages.first
        assert page.jpegtables is not None
        spans = sorted(zip(page.dataoffsets, page.databytecounts, strict=True))
        assert all(a + n <= b for (a, n), (b, _) in pairwise(spans))
        content = svs.read_bytes()
        assert b"\xff\xdb" not in content[spans[0][0] : spans[0][0] + spans[0][1]]


def test_same_seed_same_file(tmp_path: Path, cmu_slide: Path) -> None:
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        write_svs(tmp_path / name, cmu_slide, 2000, SvsSpec(seed=seed, downsamples=(1, 2)))
    files = [(tmp_path / name).read_bytes() for name in "abc"]
    assert files[0] == files[1]
    assert len(files[0]) != len(files[2])


def test_without_mpp_nothing_is_stated(tmp_path: Path, cmu_slide: Path) -> None:
    spec = SvsSpec(mpp=None, downsamples=(1,), with_associated=False, tile_px=240)
    write_svs(tmp_path / "a.svs", cmu_slide, 700, spec)
    with openslide.OpenSlide(tmp_path / "a.svs") as slide:
        assert "openslide.mpp-x" not in slide.properties
        assert "openslide.objective-power" not in slide.properties
        assert dict(slide.associated_images) == {}
        assert slide.properties["openslide.level[0].tile-width"] == "240"


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_no_tissue_and_nothing_but_tissue(tmp_path: Path, cmu_slide: Path, fraction: float) -> None:
    spec = SvsSpec(tissue_fraction=fraction, downsamples=(1, 4))
    write_svs(tmp_path / "a.svs", cmu_slide, 1500, spec)
    coloured = (np.ptp(show(tmp_path / "a.svs", 1), axis=2) > 20).mean()
    assert coloured == 0 if fraction == 0 else coloured > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"downsamples": (2, 4)}, "must rise from 1", id="no-base"),
        pytest.param({"downsamples": (1, 4, 4)}, "must rise from 1", id="not-rising"),
        pytest.param({"downsamples": (1, 4, 10)}, "do not divide", id="not-nested"),
        pytest.param({"downsamples": (1, 7)}, "do not divide", id="not-in-tile"),
    ],
)
def test_impossible_levels_are_refused(options: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        SvsSpec(**options)  # type: ignore[arg-type]


def test_a_source_smaller_than_a_tile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="smaller than 256 px"):
        write_svs(tmp_path / "a.svs", np.zeros((100, 300, 3), np.uint8), 600)


def test_grid_pattern_says_where_it_is() -> None:
    pattern = grid_pattern(1000, 700)
    for x, y in [(0, 0), (999, 699), (300, 600)]:
        red, green, blue = map(int, pattern[y, x])
        assert (red + 256 * (blue & 15), green + 256 * (blue >> 4)) == (x, y)
    with pytest.raises(InvalidRequestError, match="4096"):
        grid_pattern(4097, 1)


@pytest.mark.parametrize("codec", ["raw", "deflate", "jpeg"])
def test_pyramid_shows_its_known_pixels(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.tif"
    levels = write_pyramid(
        path,
        grid_pattern(701, 333),
        tile_px=128,
        codec=codec,  # type: ignore[arg-type]
        mpp=Mpp(0.25, 0.5),
    )
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == ((701, 333), (350, 166), (175, 83))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
    for level, pixels in enumerate(levels):
        np.testing.assert_array_equal(show(path, level), pixels)


@pytest.mark.parametrize("big", [False, True])
def test_container_is_read_by_tifffile(tmp_path: Path, big: bool) -> None:
    from wsi.geometry import Size

    base = grid_pattern(64, 48)
    tags = image_tags(Size(64, 48), None, compression=1, photometric=2) | {270: "a picture"}
    child = Page(image_tags(Size(64, 48), None, compression=1, photometric=2), [base.tobytes()])
    with TiffBuilder(tmp_path / "a.tif", big=big) as builder:
        builder.add(Page(tags, [base.tobytes()], (child,)))
        builder.add(Page(tags, [base.tobytes()]))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff == big
        assert [page.description for page in tif.pages] == ["a picture"] * 2
        assert tif.pages[0].subifds is not None
        np.testing.assert_array_equal(tif.pages[0].asarray(), base)
        np.testing.assert_array_equal(tif.pages[0].pages[0].asarray(), base)


def slow_upsample(window: npt.NDArray[np.float32], tile_px: int) -> npt.NDArray[np.float64]:
    out = np.empty((tile_px, tile_px))
    for row in range(tile_px):
        for column in range(tile_px):
            y, x = ((at + 0.5) * CELLS / tile_px + 0.5 for at in (row, column))
            top, left = int(y), int(x)
            down, right = y - top, x - left
            upper = window[top, left] * (1 - right) + window[top, left + 1] * right
            lower = window[top + 1, left] * (1 - right) + window[top + 1, left + 1] * right
            out[row, column] = upper * (1 - down) + lower * down
    return out


def test_upsample_equals_its_slow_twin() -> None:
    window = np.random.default_rng(0).random((CELLS + 2, CELLS + 2)).astype(np.float32)
    np.testing.assert_allclose(upsample(window, 24), slow_upsample(window, 24), atol=1e-5)


def test_tissue_share_equals_its_slow_twin() -> None:
    source = np.random.default_rng(1).integers(0, 60, (50, 70, 3), dtype=np.uint8)
    share, tops, lefts = tissue_share(source, 16, 5)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            part = source[top : top + 16, left : left + 16].reshape(-1, 3).astype(int)
            slow = sum(max(p) - min(p) > 20 for p in part.tolist()) / 256
            assert share[i, j] == pytest.approx(slow)


def test_reduce_area_equals_its_slow_twin() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    slow = [
        [pixels[r * 4 : r * 4 + 4, c * 4 : c * 4 + 4].reshape(-1, 3).mean(axis=0) for c in range(7)]
        for r in range(5)
    ]
    assert np.abs(reduce_area(pixels, 4) - np.array(slow)).max() <= 0.5


def test_paste_lays_tiles_in_rows_and_columns() -> None:
    tiles = [np.full((2, 2, 3), i, np.uint8) for i in range(4)]
    pasted = paste(np.array([[3, 1], [0, 2]]), tiles)
    np.testing.assert_array_equal(pasted[::2, ::2, 0], [[3, 1], [0, 2]])


def test_a_walk_is_continuous() -> None:
    steps = walk(500, 4, np.random.default_rng(0)).tolist()
    assert {~at if at < 0 else at for at in steps} == {0, 1, 2, 3}
    for here, there in pairwise(steps):
        # Leaving tile `at` unmirrored is at its end, mirrored at its start, likewise on arrival.
        leaves = here + 1 if here >= 0 else ~here
        arrives = there if there >= 0 else ~there + 1
        assert leaves == arrives
