"""Slices on their canvas, and their views."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from models.errors import DataError
from models.federated.slices import OUTSIDE, read_slices
from models.federated.warp import Warps, apply_warps, draw_warps, four_turns, two_views
from tests.models.federated.small import DEPTH, SIDE
from tiling.labels import partition_of


def test_slices_lie_in_the_middle_scaled_by_volume_with_their_masks(volumes: Path) -> None:
    found = read_slices(str(volumes), ["a1", "a0"], SIDE)
    assert found.names == ("a0", "a1")
    assert found.images.shape == (2 * DEPTH, 1, SIDE, SIDE)
    assert found.extent.unique(dim=0).tolist() == [[14, 12]]
    for number, name in enumerate(found.names):
        file = volumes.parent / "in" / "image" / f"{name}.nii"
        values = np.moveaxis(np.asarray(nibabel.load(file).dataobj), 2, 0).astype(np.float64)
        expected = (values - values.mean()) / values.std()
        rows = found.volume == number
        inner = found.images[rows, 0, 1:15, 2:14]
        np.testing.assert_allclose(inner.numpy(), expected, atol=1e-5)
        label = np.asarray(nibabel.load(volumes.parent / "in" / "label" / f"{name}.nii").dataobj)
        assert (found.masks[rows, 1:15, 2:14].numpy() == np.moveaxis(label, 2, 0)).all()
        assert found.partition[rows].tolist() == partition_of(DEPTH, 4).tolist()
    assert (found.masks[:, 0] == OUTSIDE).all()
    assert not found.images[:, :, 0].any()


def test_what_is_larger_than_the_canvas_is_cut_to_its_middle(
    volumes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.federated import slices

    values = np.arange(2 * 6 * 20, dtype=np.float32).reshape(2, 6, 20)
    np.testing.assert_array_equal(slices._centred(values, 16, 0)[:, 5:11], values[:, :, 2:18])


def test_some_volumes_can_be_taken(volumes: Path) -> None:
    found = read_slices(str(volumes), ["a0", "a1", "b0"], SIDE)
    part = found.of(["b0", "a1"])
    assert part.names == ("a1", "b0")
    assert torch.equal(part.images, found.images[DEPTH:])
    assert part.volume.tolist() == [0] * DEPTH + [1] * DEPTH
    with pytest.raises(DataError, match="no volume is called 'c0'"):
        found.of(["c0"])


@pytest.mark.parametrize("side", [0, 8, 17])
def test_sides_that_the_network_cannot_take_are_refused(volumes: Path, side: int) -> None:
    with pytest.raises(DataError, match="multiple of 16"):
        read_slices(str(volumes), ["a0"], side)


def test_a_warp_that_does_nothing_gives_the_slice() -> None:
    images = torch.randn(2, 1, 16, 16)
    same = Warps(
        np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1)), np.zeros((2, 4, 4, 2), np.float32)
    )
    torch.testing.assert_close(apply_warps(images, same), images, atol=1e-5, rtol=0)


def test_views_follow_their_generator_and_differ_from_each_other() -> None:
    images, extent = torch.randn(6, 1, 16, 16), torch.full((6, 2), 16)
    one, again = (two_views(images, extent, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], one[1])


def test_two_thirds_are_turned_and_the_others_cut() -> None:
    drawn = draw_warps(4000, np.random.default_rng(0))
    bent = drawn.knots.reshape(4000, -1).any(axis=1)
    assert bent.mean() == pytest.approx(0.67, abs=0.03)
    scale = np.sqrt(np.abs(np.linalg.det(drawn.matrix[:, :, :2])))
    assert scale[bent].min() >= 1 / 1.3 - 1e-3
    assert scale[bent].max() <= 1 / 0.7 + 1e-3
    np.testing.assert_allclose(scale[~bent], 0.8, rtol=1e-5)


def test_turns_are_of_one_square_within_the_slice() -> None:
    images = torch.full((5, 1, 32, 32), -9.0)
    images[:, :, 6:26, 4:28] = torch.rand(5, 1, 20, 24)
    extent = torch.tensor([[20, 24]] * 5)
    views = four_turns(images, extent, np.random.default_rng(0))
    for k, view in enumerate(views):
        assert torch.equal(view, torch.rot90(views[0], k, (2, 3)))
        assert view.min() >= 0  # nothing from beyond the slice
