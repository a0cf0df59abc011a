"""Pixels of patches within a bounded memory: halves and bands do not show."""

from typing import Any

import numpy as np
import pytest

from tests.tiling.archives import Pixels
from tests.tiling.test_pixels import (
    PLACES,
    footprint,
    j2k,
    j2k_slide,
    pixels_at,
    slide,
    without_tiles,
)
from tiling import pixels as module
from tiling.pixels import batches, decode_reduction, read_reduced
from wsi import Size, Slide

__all__ = ["j2k", "j2k_slide", "slide"]


@pytest.mark.parametrize("budget", [1, 500, 5000])
@pytest.mark.parametrize("reduction", [1, 2, 2.15, (1.5, 3.1)], ids=str)
def test_reading_in_halves_equals_reading_whole(
    j2k_slide: Slide, monkeypatch: pytest.MonkeyPatch, reduction: Any, budget: int
) -> None:
    what = footprint(20 if budget == 1 else 61, reduction)
    origin = (33.25, 40.5) if reduction != 1 else (33.0, 40.0)
    width, height = what.patch_px, what.patch_px - 7
    whole = read_reduced(j2k_slide, what, origin, width, height)
    monkeypatch.setattr(module, "REGION_BUDGET", budget)
    halves = read_reduced(j2k_slide, what, origin, width, height)
    assert halves.shape == (height, width, 3)
    # rounding may fall to the other side where a mean is half way between two grey levels
    assert np.abs(halves.astype(int) - whole).max() <= 1
    assert np.mean(halves != whole) < 0.001


def test_halves_of_whole_pixels_are_equal(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    without_tiles(slide, monkeypatch)
    whole = pixels_at(slide, footprint(150, 2), PLACES)
    monkeypatch.setattr(module, "REGION_BUDGET", 10_000)
    np.testing.assert_array_equal(pixels_at(slide, footprint(150, 2), PLACES), whole)


@pytest.mark.parametrize("reduction", [1, 2, 2.15])
def test_bands_do_not_show(slide: Slide, monkeypatch: pytest.MonkeyPatch, reduction: float) -> None:
    what = footprint(40, reduction)
    step = 31 * reduction if reduction != 1 else 31
    places = [(x * step, y * step) for y in range(10) for x in range(12)]
    whole = pixels_at(slide, what, places)
    native = slide.native_tiles(0)
    assert native is not None
    scale = decode_reduction(native, what)
    monkeypatch.setattr(module, "TILE_BUDGET", 450_000 // scale**2)
    assert not module._too_wide(native, what)
    extent = np.array([what.extent_x, what.extent_y])
    assert len(batches(np.array(places, float), extent, native.tile, scale)) > 10
    np.testing.assert_array_equal(pixels_at(slide, what, places), whole)


def test_patches_too_wide_for_the_budget_are_read_as_regions(
    slide: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pixels_at(slide, footprint(300), PLACES)
    monkeypatch.setattr(module, "TILE_BUDGET", 1000)
    native = slide.native_tiles(0)
    assert native is not None
    monkeypatch.setattr(native, "read_many", lambda _: pytest.fail("tiles were read"))
    np.testing.assert_array_equal(pixels_at(slide, footprint(300), PLACES), whole)


@pytest.mark.parametrize("budget", [128 << 20, 1 << 20])
def test_batches_hold_each_patch_once_and_bound_the_band(
    monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(module, "TILE_BUDGET", budget)
    rng = np.random.default_rng(0)
    origins = np.stack([rng.integers(0, 60_000, 500), rng.integers(0, 9, 500) * 100], 1).astype(
        float
    )
    extent = np.array([256.0, 256.0])
    found = batches(origins, extent, Size(256, 256), 1)
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(500))
    for batch in found:
        assert len(np.unique(origins[batch, 1])) == 1
        assert (np.diff(origins[batch, 0]) >= 0).all()
        left, right = origins[batch, 0].min(), origins[batch, 0].max() + 256
        columns, rows = (right - left) // 256 + 2, 3
        assert columns * rows * 256 * 256 * 3 <= max(budget, 3 * 3 * 256 * 256 * 3)


def test_no_patches_no_batches() -> None:
    assert batches(np.zeros((0, 2)), np.full(2, 256.0), Size(256, 256), 1) == []


def test_each_tile_is_decoded_once(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    native = slide.native_tiles(0)
    assert native is not None
    decode, seen = native.decode, []

    def count(data: bytes, reduction: int) -> Pixels:
        seen.append(data)
        return decode(data, reduction)

    monkeypatch.setattr(native, "decode", count)
    places = [(x * 50, y * 50) for y in range(16) for x in range(20)]
    pixels_at(slide, footprint(100), places)
    assert len(seen) == 9 * 7  # places cover 1050 x 850 px, which lie on 9 x 7 tiles of 128 px


@pytest.mark.parametrize(
    ("reduction", "reductions", "tile", "expected"),
    [
        (1, (1, 2, 4, 8), 256, 1),
        (1.99, (1, 2, 4, 8), 256, 1),
        (2 - 1e-12, (1, 2, 4, 8), 256, 2),
        (2.15, (1, 2, 4, 8), 256, 2),
        (7.9, (1, 2, 4, 8), 256, 4),
        (30, (1, 2, 4, 8), 256, 8),
        (30, (1,), 256, 1),
        (8, (1, 2, 4, 8), 10, 2),
        ((4, 2.5), (1, 2, 4, 8), 256, 2),
    ],
)
def test_tiles_are_never_decoded_smaller_than_patches_need(
    reduction: Any, reductions: tuple[int, ...], tile: int, expected: int
) -> None:
    class Tiles:
        pass

    native: Any = Tiles()
    native.reductions, native.tile = reductions, Size(tile, tile)
    assert decode_reduction(native, footprint(64, reduction)) == expected
