"""Attention on the grid of a slide."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from models.bags.bag import Bag
from models.mil.maps import draw_map, store_attention
from tests.models.mil.cohorts import ENCODER, STEP, Planted, write_slide
from tiling import zarrjson
from tiling.maps import SlideMap
from tiling.store import PatchStore


def _bag(archive: Path, count: int = 7, columns: int = 4, **attributes: object) -> Bag:
    rows = np.zeros((count, 3), np.float32)
    store = write_slide(archive, Planted("s", rows, attributes=attributes), columns)
    return Bag(store, ENCODER)


def test_pixels_are_the_attention_of_their_grid_position(tmp_path: Path) -> None:
    attention = np.array([[0.1, 0.2, 0.0, 0.05, 0.25, 0.3, 0.1]], np.float32)
    drawn = draw_map(_bag(tmp_path / "a.zarr"), attention)
    # 0 where there is no patch, 1 to 255 from the lowest to the highest: 1 + 254 a / 0.3
    expected = [[86, 170, 1, 43], [213, 255, 86, 0]]
    np.testing.assert_array_equal(drawn.pixels[0], expected)
    assert drawn.scale == ((pytest.approx(0.0), pytest.approx(0.3)),)
    assert drawn.step == (STEP, STEP)
    assert drawn.origin == (0.0, 0.0)


def test_the_exact_values_are_kept_and_read_by_zarr(tmp_path: Path) -> None:
    bag = _bag(tmp_path / "a.zarr")
    attention = np.random.default_rng(0).random((2, 7)).astype(np.float32)
    store_attention(bag, "attention-run", attention, ("a", "b"), {"name": "clam-mb"})
    group = zarr.open_group(tmp_path / "a.zarr" / "s" / "maps" / "attention-run", mode="r")
    np.testing.assert_array_equal(group["patches"][:], attention)
    assert group["pixels"].shape == (2, 2, 4)
    known = group.attrs["microtome"]
    assert known["kind"] == "attention"
    assert known["channels"] == ["a", "b"]
    assert known["mpp"] == [STEP * 0.5, STEP * 0.5]
    assert known["scale"][1]["value_of_255"] == pytest.approx(float(attention[1].max()))
    assert known["model"] == {"name": "clam-mb"}


def test_equal_attention_is_the_highest_everywhere(tmp_path: Path) -> None:
    drawn = draw_map(_bag(tmp_path / "a.zarr", 4, 2), np.full((1, 4), 0.25, np.float32))
    assert (drawn.pixels == 255).all()


def _mark_unreadable(store: PatchStore, patch: int) -> None:
    status = np.zeros(len(store), np.uint8)
    status[patch] = 2
    array = zarrjson.small_array(status, "u1")
    store.storage.write(f"{store.slide_id}/status/{array.chunk_key}", [array.chunk or b""])


def test_an_unreadable_patch_has_no_part(tmp_path: Path) -> None:
    store = _bag(tmp_path / "a.zarr", 4, 2).store
    _mark_unreadable(store, 1)
    bag = Bag(store, ENCODER)
    drawn = draw_map(bag, np.array([[0.5, 0.3, 0.2]], np.float32))
    assert drawn.pixels[0].tolist()[0][1] == 0
    assert np.isnan(drawn.patches[0, 1])
    np.testing.assert_allclose(drawn.patches[0, [0, 2, 3]], [0.5, 0.3, 0.2])


def test_imported_patches_without_a_grid_are_laid_by_their_distance(tmp_path: Path) -> None:
    bag = _bag(tmp_path / "a.zarr", 6, 3, grid=None)
    drawn = draw_map(bag, np.arange(6, dtype=np.float32)[None])
    assert drawn.pixels.shape == (1, 2, 3)
    assert drawn.pixels[0].argmax() == 5


def test_a_slide_without_patches_has_an_empty_map(tmp_path: Path) -> None:
    bag = _bag(tmp_path / "a.zarr", 0, 3)
    store_attention(bag, "attention-run", np.zeros((1, 0), np.float32), ("a",), {})
    stored = SlideMap(bag.store, "attention-run")
    assert not stored.read("pixels").any()
    assert stored.read("patches").shape == (1, 0)
