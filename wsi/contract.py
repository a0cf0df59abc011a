"""What every reader must do, as tests that its test class inherits; pytest only to run them.

A subclass names its reader and gives two fixtures: `location`, a slide of odd size, and `base`, the
pixels u1 (h, w, 3) that level 0 must show, known from elsewhere than the reader.

    class TestMyReader(ReaderTests):
        reader = "mine"

        @pytest.fixture
        def location(self, tmp_path): ...

        @pytest.fixture
        def base(self): ...
"""

import pickle
from typing import Any

import numpy as np

from wsi.color import Pixels
from wsi.errors import InvalidRequestError, MissingMppError, RegionError
from wsi.geometry import Level, Point, Region, Size
from wsi.readers import open_slide
from wsi.slide import Slide

MARGIN = 7


def region(x: int, y: int, width: int, height: int, level: int = 0) -> Region:
    """A region from plain numbers: level-0 location, size in px of the level."""
    return Region(Point(x, y), level, Size(width, height))


class ReaderTests:
    """The contract of a reader; see the module for what a subclass gives."""

    reader: str
    tolerance = 0
    """Largest difference from `base`, for readers of lossy files."""
    thumbnail_tolerance = 4
    """Largest mean difference of a thumbnail from the area mean of level 0; lossy levels add."""

    def open(self, location: str, **options: Any) -> Slide:
        """Open the slide under test with the reader under test."""
        return open_slide(location, self.reader, **options)

    def assert_like(self, found: Pixels, expected: Pixels) -> None:
        """Same shape and type, and no value farther off than the tolerance."""
        assert found.dtype == np.uint8
        assert found.shape == expected.shape
        difference = np.abs(found.astype(int) - expected)
        assert difference.max(initial=0) <= self.tolerance

    # Pixels

    def test_level_0_shows_the_known_pixels(self, location: str, base: Pixels) -> None:
        """The whole of level 0, and a part of it."""
        height, width = base.shape[:2]
        with self.open(location) as slide:
            assert slide.size == Size(width, height)
            self.assert_like(slide.read_region(region(0, 0, width, height)), base)
            part = slide.read_region(region(13, 5, width - 20, height - 9))
        self.assert_like(part, base[5 : height - 4, 13 : width - 7])

    def test_outside_is_white_in_all_directions(self, location: str, base: Pixels) -> None:
        """Left, right, above and below, each alone, and all at once."""
        height, width = base.shape[:2]
        padded = np.full((height + 2 * MARGIN, width + 2 * MARGIN, 3), 255, dtype=np.uint8)
        padded[MARGIN:-MARGIN, MARGIN:-MARGIN] = base
        corners = {
            "left": (-MARGIN, MARGIN),
            "above": (MARGIN, -MARGIN),
            "right": (width - MARGIN, MARGIN),
            "below": (MARGIN, height - MARGIN),
        }
        with self.open(location) as slide:
            for x, y in corners.values():
                top, left = y + MARGIN, x + MARGIN
                expected = padded[top : top + 2 * MARGIN, left : left + 2 * MARGIN]
                self.assert_like(slide.read_region(region(x, y, 2 * MARGIN, 2 * MARGIN)), expected)
            whole = region(-MARGIN, -MARGIN, width + 2 * MARGIN, height + 2 * MARGIN)
            self.assert_like(slide.read_region(whole), padded)

    def test_a_region_that_misses_the_slide_is_white(self, location: str) -> None:
        """Far away on either side, and just beyond the last pixel."""
        with self.open(location) as slide:
            width, height = slide.size.width, slide.size.height
            for x, y in [(-9_000, 0), (0, -9_000), (width, 0), (0, height), (10**9, 10**9)]:
                assert (slide.read_region(region(x, y, 5, 4)) == 255).all()

    def test_an_empty_region_is_empty(self, location: str) -> None:
        """Sizes of zero are legal."""
        with self.open(location) as slide:
            assert slide.read_region(region(3, 3, 0, 4)).shape == (4, 0, 3)
            assert slide.read_region(region(3, 3, 4, 0)).shape == (0, 4, 3)

    def test_levels_grow_coarser_and_read_to_their_last_pixel(self, location: str) -> None:
        """Level 0 has downsample 1; the lower right corner of each level is its own, then white."""
        with self.open(location) as slide:
            assert [level.index for level in slide.levels] == list(range(len(slide.levels)))
            assert slide.levels[0].downsample == 1
            downsamples = [level.downsample for level in slide.levels]
            assert downsamples == sorted(downsamples)
            for level in slide.levels:
                corner = self.lower_right(slide, level)
                assert (corner[2 + 1 :] == 255).all()
                assert (corner[:, 2 + 1 :] == 255).all()

    def lower_right(self, slide: Slide, level: Level) -> Pixels:
        """10 x 10 px around the lower right corner, 2 of them inside the level (3 by rounding)."""
        x = round((level.size.width - 2) * level.downsample)
        y = round((level.size.height - 2) * level.downsample)
        return slide.read_region(region(x, y, 10, 10, level.index))

    def test_what_was_read_is_the_callers_own(self, location: str) -> None:
        """Writing into an array changes no later read."""
        with self.open(location) as slide:
            first = slide.read_region(region(0, 0, 16, 16))
            kept = first.copy()
            first[:] = 7
            np.testing.assert_array_equal(slide.read_region(region(0, 0, 16, 16)), kept)

    def test_an_unknown_level_is_refused(self, location: str) -> None:
        """It is the caller's mistake, so it is not retried either."""
        import pytest

        with self.open(location) as slide:
            with pytest.raises(InvalidRequestError, match="no level 99"):
                slide.read_region(region(0, 0, 1, 1, level=99))
            assert slide.retries == 0

    # Thumbnail

    def test_thumbnail_is_the_area_mean(self, location: str, base: Pixels) -> None:
        """Against a slow mean over exact rectangles; loose, since a coarser level may serve it."""
        with self.open(location) as slide:
            thumbnail = slide.thumbnail(40)
        assert max(thumbnail.shape[:2]) == 40
        expected = slow_area_mean(base, *thumbnail.shape[:2])
        assert np.abs(thumbnail - expected).mean() < self.thumbnail_tolerance

    def test_thumbnail_is_never_enlarged(self, location: str, base: Pixels) -> None:
        """More pixels than there are cannot be asked for."""
        with self.open(location) as slide:
            self.assert_like(slide.thumbnail(100_000), base)

    # What is known

    def test_a_given_mpp_wins(self, location: str) -> None:
        """One value or two; the record says that it was given."""
        with self.open(location, mpp=0.3) as slide:
            assert (slide.mpp.x, slide.mpp.y, slide.mpp.origin) == (0.3, 0.3, "override")
        with self.open(location, mpp=(0.3, 0.4)) as slide:
            assert (slide.mpp.x, slide.mpp.y) == (0.3, 0.4)

    def test_mpp_is_positive_or_an_error_that_helps(self, location: str) -> None:
        """Never a guess."""
        with self.open(location) as slide:
            try:
                record = slide.mpp
            except MissingMppError as err:
                assert "--slide-mpp" in str(err)  # noqa: PT017 - either outcome is right
            else:
                assert record.x > 0
                assert record.y > 0
                assert record.origin

    def test_properties_are_text_and_bounds_lie_inside(self, location: str) -> None:
        """So that both can be written down and used as they are."""
        with self.open(location) as slide:
            assert all(isinstance(value, str) for value in slide.properties.values())
            assert slide.vendor
            assert slide.objective is None or slide.objective > 0
            bounds = slide.bounds
            assert bounds.location.x >= 0
            assert bounds.location.x + bounds.size.width <= slide.size.width
            assert bounds.location.y + bounds.size.height <= slide.size.height

    def test_associated_images_are_rgb(self, location: str) -> None:
        """Each name gives a picture; another name is a KeyError as in any mapping."""
        with self.open(location) as slide:
            for image in slide.associated.values():
                assert image.dtype == np.uint8
                assert image.ndim == 3
                assert image.shape[2] == 3
            assert slide.associated.get("no such image") is None

    # Life

    def test_pickling_carries_the_options_and_no_handle(self, location: str) -> None:
        """The copy opens its file at its first use, and closing one leaves the other open."""
        with self.open(location, mpp=(0.3, 0.4), icc=True) as slide:
            copy = pickle.loads(pickle.dumps(slide))
            first = slide.read_region(region(1, 2, 30, 20))
            with copy:
                np.testing.assert_array_equal(copy.read_region(region(1, 2, 30, 20)), first)
                assert (type(copy), copy.location) == (type(slide), slide.location)
                assert copy.mpp == slide.mpp
                assert copy.levels == slide.levels
            np.testing.assert_array_equal(slide.read_region(region(1, 2, 30, 20)), first)

    def test_use_after_close_opens_again(self, location: str, base: Pixels) -> None:
        """Closing twice is harmless too."""
        slide = self.open(location)
        slide.close()
        slide.close()
        with slide:
            self.assert_like(slide.read_region(region(0, 0, 9, 9)), base[:9, :9])

    def test_one_error_is_retried_with_a_fresh_handle(
        self, location: str, base: Pixels, monkeypatch: Any
    ) -> None:
        """The caller sees pixels, and a count."""
        with self.open(location) as slide:
            fail_reads(slide, 1, monkeypatch)
            self.assert_like(slide.read_region(region(0, 0, 9, 9)), base[:9, :9])
            assert slide.retries == 1

    def test_two_errors_fail_the_region_but_not_the_next(
        self, location: str, base: Pixels, monkeypatch: Any
    ) -> None:
        """An error must not poison the reads after it (openslide issue 689)."""
        import pytest

        with self.open(location) as slide:
            fail_reads(slide, 2, monkeypatch)
            with pytest.raises(RegionError, match="cannot be read: broken on purpose"):
                slide.read_region(region(0, 0, 9, 9))
            self.assert_like(slide.read_region(region(0, 0, 9, 9)), base[:9, :9])
            assert slide.retries == 0

    # Native tiles

    def test_native_tiles_show_what_the_slide_shows(self, location: str) -> None:
        """The first and the last whole tile of each level that offers its tiles."""
        with self.open(location) as slide:
            for level in slide.levels:
                tiles = slide.native_tiles(level.index)
                if tiles is None or level.downsample != int(level.downsample):
                    continue
                tile = tiles.tile
                last = (level.size.width // tile.width - 1, level.size.height // tile.height - 1)
                for column, row in {(0, 0), last} if min(last) >= 0 else ():
                    data = tiles.read(column, row)
                    assert data is not None
                    x = column * tile.width * int(level.downsample)
                    y = row * tile.height * int(level.downsample)
                    shown = slide.read_region(region(x, y, tile.width, tile.height, level.index))
                    self.assert_like(tiles.decode(data), shown)


def fail_reads(slide: Slide, times: int, monkeypatch: Any) -> None:
    """Make the next reads of the underlying library fail; later ones work."""
    read, left = slide._read, [times]

    def failing(*arguments: Any) -> Pixels:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("broken on purpose")
        return read(*arguments)

    monkeypatch.setattr(slide, "_read", failing)


def slow_area_mean(pixels: Pixels, height: int, width: int) -> np.ndarray[Any, Any]:
    """Mean of each output pixel's exact rectangle, one at a time: f8 (height, width, 3)."""
    rows = _slow_means(pixels.astype(float), height)
    columns = _slow_means(rows.transpose(1, 0, 2), width)
    return columns.transpose(1, 0, 2)


def _slow_means(values: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    length = len(values)
    means = []
    for index in range(count):
        low, high = index * length / count, (index + 1) * length / count
        total = np.zeros(values.shape[1:])
        for line in range(int(low), min(int(np.ceil(high)), length)):
            total += values[line] * (min(high, line + 1) - max(low, line))
        means.append(total / (high - low))
    return np.array(means)
