from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.augment import Params, Preset, open_preset
from tests.models.augment.twin import generator, patches

WHOLE = (1.0, 1.0, 0.0, 0.0)


def opened(name: str, side_px: int, **changes: Any) -> Preset:
    usual = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "d4": False}
    return open_preset(name, side_px=side_px, **(usual | changes))


def cut(pixels: NDArray[np.uint8], side_px: int, **changes: Any) -> Tensor:
    """Give the pictures of the given geometry, and of nothing else."""
    preset = opened("supervised", side_px)
    (view,) = preset.draw(len(pixels), generator(0)).views
    still = {
        "crop": np.tile(WHOLE, (len(pixels), 1)),
        "flip": np.zeros((len(pixels), 2), np.bool_),
        "turn": np.zeros(len(pixels), np.int64),
    }
    params = Params((replace(view, **(still | changes)),))
    return preset.apply(torch.from_numpy(pixels), params)[0]


def as_arrays(pictures: Tensor) -> NDArray[np.float32]:
    return pictures.permute(0, 2, 3, 1).numpy()


def test_a_whole_patch_at_its_own_size_is_itself() -> None:
    pixels = patches(3, 37)
    assert np.array_equal(as_arrays(cut(pixels, 37)), pixels * np.float32(1 / 255))


@pytest.mark.parametrize("side_px", [16, 48, 100])
def test_crops_are_those_of_pil(side_px: int) -> None:
    """PIL rounds to whole numbers twice, once per axis."""
    pixels = patches(20, 60)
    crop = opened("simclr", side_px).draw(20, generator(1)).views[0].crop
    ours = as_arrays(cut(pixels, side_px, crop=crop))
    for patch, box, picture in zip(pixels, crop, ours, strict=True):
        height, width = (round(60 * share) for share in box[:2])
        top, left = int(box[2] * (61 - height)), int(box[3] * (61 - width))
        theirs = Image.fromarray(patch[top : top + height, left : left + width]).resize(
            (side_px, side_px), Image.Resampling.BILINEAR
        )
        assert abs(255 * picture - np.asarray(theirs)).max() <= 1.01


def test_shrinking_by_half_weighs_neighbours_as_a_triangle() -> None:
    """By hand: 1/8, 3/8, 3/8, 1/8 of four pixels, less the one that is not there at an edge."""
    line = np.array([0, 80, 160, 240, 40, 200], np.uint8)
    pixels = np.broadcast_to(line[None, :, None, None], (1, 6, 6, 3)).copy()
    edge = (3 * 0 + 3 * 80 + 1 * 160) / 7
    middle = (1 * 80 + 3 * 160 + 3 * 240 + 1 * 40) / 8
    last = (1 * 240 + 3 * 40 + 3 * 200) / 7
    for picture in (cut(pixels, 3)[0, 1], cut(pixels.transpose(0, 2, 1, 3).copy(), 3)[0, 1].T):
        expected = np.array([edge, middle, last]) / 255
        np.testing.assert_allclose(picture, np.tile(expected[:, None], 3), atol=1e-6)


def test_crops_reach_every_edge_and_never_beyond() -> None:
    """A frame of another colour shows in a crop that touches it only."""
    pixels = np.zeros((4, 20, 20, 3), np.uint8)
    pixels[:, 0, :, 0] = pixels[:, :, 0, 1] = pixels[:, -1, :, 2] = 255
    nearly = np.nextafter(1, 0)
    crop = np.array(
        [(0.5, 0.5, 0, 0), (0.5, 0.5, nearly, nearly), (0.9, 0.9, 0.5, 0.5), (0.01, 0.01, 0.5, 0.5)]
    )
    seen = cut(pixels, 10, crop=crop).amax((2, 3)) > 0
    assert seen.tolist() == [
        [True, True, False],
        [False, False, True],
        [False, False, False],
        [False, False, False],
    ]


def test_flips_and_turns_are_those_of_numpy() -> None:
    """Turns come after flips; all sixteen ways, by way of crops that are wider than high."""
    pixels = np.repeat(patches(1, 40), 16, axis=0)
    crop = np.tile((0.5, 0.8, 0.3, 0.6), (16, 1))
    number = np.arange(16)
    flip = np.stack([number // 4 % 2, number // 8], axis=1).astype(np.bool_)
    plain, *_ = as_arrays(cut(pixels[:1], 24, crop=crop[:1]))
    ours = as_arrays(cut(pixels, 24, crop=crop, flip=flip, turn=number % 4))
    for picture, (up, left), turn in zip(ours, flip, number % 4, strict=True):
        expected = np.flipud(plain) if up else plain
        expected = np.rot90(np.fliplr(expected) if left else expected, turn)
        np.testing.assert_allclose(picture, expected, atol=1e-6)
        if turn == 0:
            assert np.array_equal(picture, expected)


def test_flips_and_turns_of_uncropped_patches_are_exact() -> None:
    pixels = np.repeat(patches(1, 33), 8, axis=0)
    turn, mirrored = np.arange(8) % 4, np.arange(8) // 4
    flip = np.stack([np.zeros(8), mirrored], axis=1).astype(np.bool_)
    ours = as_arrays(cut(pixels, 33, flip=flip, turn=turn))
    plain = pixels[0] * np.float32(1 / 255)
    for picture, left, quarters in zip(ours, mirrored, turn, strict=True):
        assert np.array_equal(picture, np.rot90(np.fliplr(plain) if left else plain, quarters))
    assert len({picture.tobytes() for picture in ours}) == 8


@pytest.mark.parametrize(("patch_px", "side_px"), [(40, 40), (40, 24), (24, 40)])
def test_rotations_are_exactly_those_of_numpy(patch_px: int, side_px: int) -> None:
    pixels = torch.from_numpy(patches(10, patch_px))
    preset = opened("rotation", side_px)
    upright, *others = map(as_arrays, preset.apply(pixels, preset.draw(10, generator(2))))
    for quarters, view in enumerate(others, start=1):
        for picture, turned in zip(upright, view, strict=True):
            assert np.array_equal(turned, np.rot90(picture, quarters))


def test_four_quarter_turns_are_the_identity() -> None:
    pixels = torch.from_numpy(patches(6, 40))
    preset = opened("rotation", 32)
    views = preset.apply(pixels, preset.draw(6, generator(3)))
    again = views[0]
    for view in views[1:]:
        again = again.rot90(1, (2, 3))
        assert torch.equal(view, again)
    assert torch.equal(again.rot90(1, (2, 3)), views[0])


@pytest.mark.parametrize("name", ["rotation", "rotation-jitter"])
def test_rotated_pictures_are_never_upside_down_before_they_are_turned(name: str) -> None:
    """Rows grow brighter downwards: a flip would hide the turn from the network."""
    ramp = np.broadcast_to(np.arange(40, 200, 5, dtype=np.uint8)[:, None, None], (32, 32, 3))
    preset = opened(name, 32, **({} if name == "rotation" else {"strength": 0.0}))
    pixels = torch.from_numpy(np.repeat(ramp[None], 200, axis=0))
    views = preset.apply(pixels, preset.draw(200, generator(4)))
    for turn, view in enumerate(views):
        stood_up = view.rot90(-turn, (2, 3))
        assert (stood_up[:, :, -1].mean((1, 2)) > stood_up[:, :, 0].mean((1, 2))).all()


def test_d4_shows_a_patch_in_all_eight_orientations() -> None:
    corner = np.zeros((16, 16, 3), np.uint8)
    corner[:8, :4] = 200
    preset = opened("moco-v3", 16, d4=True, crop_min=1.0, strength=0.0)
    params = preset.draw(300, generator(5))
    clear = [replace(v, sigma=v.sigma * 0, solarized=v.solarized & False) for v in params.views]
    for view in preset.apply(
        torch.from_numpy(np.repeat(corner[None], 300, 0)), Params(tuple(clear))
    ):
        grey = view.mean(1).round(decimals=3).numpy()
        assert len({picture.tobytes() for picture in grey}) == 8
