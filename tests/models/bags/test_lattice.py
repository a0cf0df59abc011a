"""Patches as pixels of a map: places and areas by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bags.lattice import Lattice, lay_lattice
from models.bags.patches import Patches
from models.errors import DataError
from tests.models.mil.cohorts import STEP, Planted, write_slide
from tests.tiling.archives import cut
from tiling import zarrjson
from wsi.geometry import Mpp


def _lay(folder: Path, corners: list[tuple[int, int]] | None = None, **known: Any) -> Lattice:
    """A slide of 128 px patches at .5 um/px; with `corners` it has no grid."""
    count = 6 if corners is None else len(corners)
    if corners is not None:
        known = {"grid": None, "import": {"coords": "given"}} | known
    planted = Planted("s", np.zeros((count, 2), np.float32), attributes=known)
    store = write_slide(folder / "a.zarr", planted, columns=4)
    if corners is not None:
        array = zarrjson.small_array(np.array(corners), "i4")
        store.storage.write(f"s/coords/{array.chunk_key}", [array.chunk or b""])
    return lay_lattice(Patches(store))


def test_patches_of_a_grid_are_pixels_of_their_size(tmp_path: Path) -> None:
    lattice = _lay(tmp_path)
    frame = lattice.frame
    assert (frame.height_px, frame.width_px) == (2, 4)
    assert (frame.level0_x, frame.level0_y) == (0, 0)
    assert (frame.level0_step_x, frame.level0_step_y) == (STEP, STEP)
    assert frame.mpp == Mpp(64, 64)
    assert lattice.row_col.tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1]]


def _grid(**changes: float) -> dict[str, float]:
    known = {"origin_x": 10.0, "origin_y": 20.0, "step_x": 96.0, "step_y": 96.0}
    extent = {"extent_x": 128.0, "extent_y": 128.0, "columns": 4, "rows": 2, "downsample": 1.0}
    return known | extent | changes


@pytest.mark.parametrize(
    ("step", "corner"), [(96.0, (10 + 16, 20 + 16)), (160.0, (10 - 16, 20 - 16))]
)
def test_pixels_lie_around_the_centres_of_patches(
    tmp_path: Path, step: float, corner: tuple[float, float]
) -> None:
    frame = _lay(tmp_path, grid=_grid(step_x=step, step_y=step)).frame
    assert (frame.level0_x, frame.level0_y) == corner
    assert (frame.level0_step_x, frame.mpp.x) == (step, step / 2)


def test_a_slide_that_was_cut_with_overlap_at_a_coarser_resolution(
    tmp_path: Path, cmu_slide: Path
) -> None:
    """Patches of 96 px every 80 px at .998 um/px of a slide of .499: all doubles at level 0."""
    store = cut(tmp_path / "b.zarr", cmu_slide, patch_size_px=96, stride_px=80, mpp=0.998)
    lattice = lay_lattice(Patches(store))
    frame = lattice.frame
    assert (frame.level0_x, frame.level0_step_x) == (16, 160)
    assert frame.mpp.x == pytest.approx(160 * 0.499)
    corners = frame.level0(lattice.row_col[:, ::-1])
    np.testing.assert_allclose(corners, store.coords + 16, atol=0.5)
    assert frame.height_px * frame.width_px == len(store)


def test_imported_patches_lie_where_they_were_said_to(tmp_path: Path) -> None:
    corners = [(500, 300), (756, 300), (500, 428), (628, 556)]
    lattice = _lay(tmp_path, corners)
    frame = lattice.frame
    assert (frame.height_px, frame.width_px) == (3, 3)
    assert (frame.level0_x, frame.level0_y) == (500, 300)
    assert lattice.row_col.tolist() == [[0, 0], [0, 2], [1, 0], [2, 1]]


def test_the_stride_of_imported_patches_is_found(tmp_path: Path) -> None:
    """Every 64 1/3 px, though 128 px are recorded; corners are rounded, and in any order."""
    places = [(column, row) for row in (0, 2, 1) for column in (30, 0, 1, 29, 2)]
    corners = [(round(column * 193 / 3), round(row * 193 / 3)) for column, row in places]
    lattice = _lay(tmp_path, corners)
    assert lattice.frame.level0_step_x == pytest.approx(64.3, abs=0.1)
    assert (lattice.frame.height_px, lattice.frame.width_px) == (3, 31)
    assert lattice.row_col[:, ::-1].tolist() == [list(place) for place in places]


@pytest.mark.parametrize(
    ("corners", "changes", "sentence"),
    [
        ([(0, 0), (128, 0), (300, 0)], {}, "s lie on no regular grid"),
        ([(0, 0), (0, 0)], {}, "s lie on no regular grid"),
        ([(0, 0), (5, 0), (10, 0)], {}, "s lie on no regular grid"),
        ([(0, 0)], {"import": {"coords": "made up"}}, "nobody knows where the patches of s lie"),
        (None, {"mpp": {"x": None, "y": None}}, "s has no microns per pixel"),
        ([], {}, "s has no readable patch"),
    ],
    ids=["gap", "twice", "too near", "made up", "no mpp", "empty"],
)
def test_what_makes_no_map_says_why(
    tmp_path: Path, corners: list[tuple[int, int]] | None, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        _lay(tmp_path, corners, **changes)
