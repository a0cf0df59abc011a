"""A bag against what was planted, one patch at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.bags.bag import Bag
from models.errors import BagError
from tests.models.bags.planted import (
    DIM,
    ENCODER,
    SLIDES,
    bag_of,
    plant,
    set_status,
    slow_row_col,
)
from tiling.store import Archive

Open = Callable[..., Bag]


@pytest.mark.parametrize("slide_id", SLIDES)
def test_rows_are_those_of_the_patches_in_order(bag: Open, slide_id: str) -> None:
    found = bag(slide_id)
    values = np.concatenate([np.zeros((0, DIM), np.float32), *found.blocks(3)])
    number = list(SLIDES).index(slide_id)
    assert np.array_equal(values, plant(found.store, number))
    assert np.array_equal(found.row_col, slow_row_col(found.store))
    assert np.array_equal(values[:, 1:3], found.row_col)
    assert np.array_equal(values[:, 3:5], found.coords)


def test_the_slides_are_what_they_are_meant_to_be(bag: Open) -> None:
    counts = {name: len(bag(name)) for name in SLIDES}
    assert counts["single"] == 1
    assert counts["empty"] == 0
    assert counts["quarter"] == 5 * 4
    assert counts["hole"] == 6 * 6 - 2
    assert bag("quarter").level0_patch == (128, 128)
    assert bag("odd").level0_patch == pytest.approx((64 * 0.5 / 0.2325,) * 2)
    assert bag("odd").level0_stride == pytest.approx((32 * 0.5 / 0.2325,) * 2)
    assert bag("bounds").coords[0].tolist() == [70, 33]
    assert bag("bounds").bounds == (70, 33, 330, 260)
    assert bag("bounds").row_col[0].tolist() == [0, 0]


def test_blocks_have_as_many_rows_as_asked_for(bag: Open) -> None:
    assert [len(block) for block in bag("quarter").blocks(8)] == [8, 8, 4]
    assert list(bag("empty").blocks()) == []
    assert bag("empty").read().shape == (0, DIM)


def test_labels_of_the_slide_and_what_is_missing(bag: Open) -> None:
    known = bag("quarter", prefix="s")
    assert (known.name, known.patient, known.label) == ("squarter", "sp1", "lum")
    assert (known.site, known.split) == ("here", "train")
    assert bag("hole").patient == "hole"
    assert bag("hole").labels is None


def test_unreadable_patches_are_left_out_and_counted(own_archive: Path) -> None:
    store = Archive.open(str(own_archive))["quarter"]
    set_status(store, 3, 2)
    set_status(store, 5, 1)
    found = bag_of(own_archive, "quarter")
    assert (len(found), found.n_unreadable) == (19, 1)
    kept = np.delete(np.arange(20), 3)
    assert np.array_equal(np.concatenate(list(found.blocks(4))), plant(store, 0)[kept])
    assert np.array_equal(found.coords, store.coords[kept])
    assert found.status.tolist().count(1) == 1
    assert [len(block) for block in found.blocks(4)] == [4, 4, 4, 4, 3]
    every = bag_of(own_archive, "quarter", keep_unreadable=True)
    assert (len(every), every.n_unreadable) == (20, 1)


def test_rows_far_apart_are_read_in_bounded_pieces(own_archive: Path) -> None:
    store = Archive.open(str(own_archive))["odd"]
    values = plant(store, 2)
    for index in range(1, len(store) - 1):
        set_status(store, index, 2)
    found = bag_of(own_archive, "odd")
    assert np.array_equal(found.read(), values[[0, -1]])
    assert found.read(dtype=np.float16).dtype == np.float16


def test_an_encoder_that_is_not_there_is_named_with_those_that_are(bag: Open) -> None:
    with pytest.raises(BagError, match="has no embeddings of 'uni'; there are: planted, planted16"):
        bag("quarter", "uni")


def test_embeddings_without_a_card_are_refused(own_archive: Path) -> None:
    path = own_archive / "quarter" / "embeddings" / ENCODER / "zarr.json"
    path.write_text(path.read_text().replace('"card"', '"cart"'))
    with pytest.raises(BagError, match="'planted' have no valid card"):
        bag_of(own_archive, "quarter")


def test_a_slide_without_resolution_says_so(own_archive: Path) -> None:
    found = bag_of(own_archive, "quarter")
    found.attributes.update(mpp={"x": None, "y": None}, mpp_effective=[None, None])
    assert (found.mpp0, found.mpp_effective) == (None, None)
    with pytest.raises(BagError, match="quarter has no microns per pixel, which STAMP"):
        found.require_mpp("STAMP")


def test_a_slide_without_a_grid_counts_from_its_first_patch(own_archive: Path) -> None:
    found = bag_of(own_archive, "bounds")
    expected = found.row_col
    other = bag_of(own_archive, "bounds")
    other.attributes.update(grid=None)
    assert np.array_equal(other.row_col, expected)


def test_float16_is_given_as_stored(bag: Open) -> None:
    found = bag("quarter", "planted16")
    assert found.dtype == np.float16
    assert found.read().dtype == np.float16
    embedded = plant(found.store, 0) / 8
    assert np.array_equal(found.read(dtype=np.float32), embedded)
