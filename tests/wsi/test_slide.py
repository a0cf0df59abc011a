"""What the base class does for every reader, on a slide that lives in memory."""

import pickle
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tests.wsi.conftest import smooth_pixels
from wsi import (
    InvalidRequestError,
    Level,
    MppRecord,
    Point,
    Region,
    RegionError,
    Size,
    Slide,
    SlideError,
    UnreadableSlideError,
    open_slide,
)
from wsi import slide as slide_module
from wsi.color import Pixels
from wsi.contract import region


class FakeSlide(Slide):
    """Two levels, pixels by formula, and whatever properties a test sets."""

    reader: ClassVar[str] = "fake"
    said: ClassVar[dict[str, str]] = {}
    base: ClassVar[Pixels] = smooth_pixels(60, 80)
    sizes: ClassVar[tuple[Size, ...]] = (Size(80, 60), Size(32, 24))
    opened: ClassVar[list[str]] = []

    def _open(self) -> None:
        self.opened.append(self.location)

    def _close(self) -> None:
        self.opened.remove(self.location)

    def _read_levels(self) -> tuple[Level, ...]:
        return tuple(Level(i, size, 80 / size.width) for i, size in enumerate(self.sizes))

    def _read_properties(self) -> dict[str, str]:
        return dict(self.said)

    def _metadata_mpp(self) -> MppRecord | None:
        return None

    def _read(self, corner: Point, level: Level, location: Point, size: Size) -> Pixels:
        rows = slice(corner.y, corner.y + size.height)
        return self.base[rows, corner.x : corner.x + size.width].copy()


def fake(said: dict[str, str] | None = None, **attributes: object) -> FakeSlide:
    kind = type("Fake", (FakeSlide,), {"said": said or {}, "opened": [], **attributes})
    made = kind("nowhere")
    assert isinstance(made, FakeSlide)
    return made


def bounds_of(x: str, y: str, width: str, height: str) -> dict[str, str]:
    names = ("bounds-x", "bounds-y", "bounds-width", "bounds-height")
    return {f"fake.{name}": value for name, value in zip(names, (x, y, width, height), strict=True)}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, region(0, 0, 80, 60)),
        (bounds_of("10", "20", "30", "25"), region(10, 20, 30, 25)),
        (bounds_of("-5", "-6", "30", "26"), region(0, 0, 25, 20)),
        (bounds_of("10", "20", "500", "500"), region(10, 20, 70, 40)),
        (bounds_of("90", "0", "10", "10"), region(0, 0, 80, 60)),
        (bounds_of("a", "b", "c", "d"), region(0, 0, 80, 60)),
        (bounds_of("1", "1", "0", "9"), region(0, 0, 80, 60)),
    ],
    ids=["none", "inside", "before", "beyond", "outside", "no numbers", "empty"],
)
def test_bounds_are_inside_or_the_whole(said: dict[str, str], expected: Region) -> None:
    assert fake(said).bounds == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("40", 40.0), ("nan", None), ("-1", None), ("many", None)]
)
def test_an_absurd_objective_is_none(value: str, expected: float | None) -> None:
    assert fake({"fake.objective-power": value}).objective == expected


def test_a_location_goes_to_the_nearest_pixel_of_a_coarser_level() -> None:
    slide = fake()
    downsample = slide.levels[1].downsample  # 2.5
    for column in range(32):
        found = slide.read_region(region(round(column * downsample), 0, 1, 1, level=1))
        np.testing.assert_array_equal(found[0, 0], slide.base[0, column])


@pytest.mark.parametrize(
    "sizes",
    [(), (Size(0, 5),), (Size(5, 0),), (Size(4_000_000_000, 5),)],
    ids=["no levels", "no width", "no height", "absurd"],
)
def test_impossible_levels_are_refused_and_the_file_closed(sizes: tuple[Size, ...]) -> None:
    opened: list[str] = []
    with pytest.raises(UnreadableSlideError, match=r"no levels|damaged, it claims|levels cannot"):
        fake(sizes=sizes, opened=opened)
    assert opened == []


def test_pixels_of_another_shape_are_an_error() -> None:
    slide = fake(base=smooth_pixels(10, 10))
    with pytest.raises(RegionError, match=r"asked, but an array \(10, 10, 3\) came back"):
        slide.read_region(region(0, 0, 20, 20))


def test_a_slide_that_closes_leaves_nothing_open() -> None:
    slide = fake()
    assert slide.opened == ["nowhere"]
    slide.reopen()
    assert slide.opened == ["nowhere"]
    slide.close()
    assert slide.opened == []


@pytest.mark.parametrize("max_px", [0, -3])
def test_a_thumbnail_needs_a_positive_size(max_px: int) -> None:
    with pytest.raises(InvalidRequestError, match="max_px must be positive"):
        fake().thumbnail(max_px)


def test_unpickling_opens_nothing(cmu_slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(cmu_slide.read_bytes())
    with open_slide(path) as slide:
        data = pickle.dumps(slide)
    path.unlink()
    copy = pickle.loads(data)
    assert copy.location == str(path)
    with pytest.raises(SlideError, match=r"a\.svs"):
        _ = copy.levels


def test_a_file_that_vanishes_is_a_region_error(pyramid_copy: Path) -> None:
    with open_slide(pyramid_copy) as slide:
        slide.close()
        pyramid_copy.unlink()
        with pytest.raises(RegionError, match="cannot be read"):
            slide.read_region(region(0, 0, 5, 5))


@pytest.fixture
def pyramid_copy(tmp_path: Path, cmu_slide: Path) -> Path:
    path = tmp_path / "copy.svs"
    path.write_bytes(cmu_slide.read_bytes())
    return path


def test_thumbnail_by_scaled_tiles_equals_the_one_by_regions(
    cmu_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_slide(cmu_slide) as slide:
        by_regions = slide.thumbnail(250)
        monkeypatch.setattr(slide_module, "LARGE_PX", 0)
        by_tiles = slide.thumbnail(250)
    difference = np.abs(by_regions.astype(int) - by_tiles)
    assert difference.mean() < 1
    assert by_tiles.shape == by_regions.shape


def test_icc_is_applied_before_the_white_of_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    slide = fake()
    monkeypatch.setattr(slide, "_icc", True)
    monkeypatch.setattr(type(slide), "icc_profile", b"some")
    monkeypatch.setattr(slide_module, "to_srgb", lambda rgb, profile: rgb // 2)
    found = slide.read_region(region(70, 0, 20, 1))
    np.testing.assert_array_equal(found[0, :10], slide.base[0, 70:] // 2)
    assert (found[0, 10:] == 255).all()
