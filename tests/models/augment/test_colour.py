"""Each operation, with a strength per picture, against torchvision on one picture at a time."""

import colorsys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from models.augment.colour import blend_, grey_of, solarize
from models.augment.hue import HueShift
from tests.models.augment.twin import patches

FACTORS = [0.0, 0.2, 0.7, 1.0, 1.3, 1.8, 3.0]


def pictures(count: int) -> Tensor:
    return torch.from_numpy(patches(count, 24)).permute(0, 3, 1, 2).contiguous() / 255


def each(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None, None]


def shift_hue_(before: Tensor, turns: NDArray[np.float64]) -> Tensor:
    HueShift.of(turns, before.device).apply(before, slice(0, len(before)))
    return before


def test_brightness_is_that_of_torchvision() -> None:
    before = pictures(len(FACTORS))
    ours = blend_(before.clone(), each(FACTORS))
    for picture, factor, after in zip(before, FACTORS, ours, strict=True):
        torch.testing.assert_close(after, tv.adjust_brightness(picture, factor), atol=1e-6, rtol=0)


def test_contrast_is_that_of_torchvision() -> None:
    before = pictures(len(FACTORS))
    ours = blend_(before.clone(), each(FACTORS), mean=1 - each(FACTORS))
    for picture, factor, after in zip(before, FACTORS, ours, strict=True):
        torch.testing.assert_close(after, tv.adjust_contrast(picture, factor), atol=2e-6, rtol=0)


def test_saturation_is_that_of_torchvision() -> None:
    before = pictures(len(FACTORS))
    ours = blend_(before.clone(), each(FACTORS), grey=1 - each(FACTORS))
    for picture, factor, after in zip(before, FACTORS, ours, strict=True):
        torch.testing.assert_close(after, tv.adjust_saturation(picture, factor), atol=2e-6, rtol=0)


def test_pictures_of_one_batch_may_be_due_different_operations() -> None:
    before = pictures(3)
    grey, mean = each([0.0, -0.6, 0.0]), each([0.0, 0.0, -0.7])
    ours = blend_(before.clone(), each([0.5, 1.6, 1.7]), grey=grey, mean=mean)
    theirs = [
        tv.adjust_brightness(before[0], 0.5),
        tv.adjust_saturation(before[1], 1.6),
        tv.adjust_contrast(before[2], 1.7),
    ]
    torch.testing.assert_close(ours, torch.stack(theirs), atol=2e-6, rtol=0)


def test_grey_is_that_of_torchvision() -> None:
    before = pictures(2)
    torch.testing.assert_close(grey_of(before), tv.rgb_to_grayscale(before), atol=1e-6, rtol=0)


def test_solarizing_is_that_of_torchvision() -> None:
    before = pictures(2)
    before[0, 0, 0, :3] = torch.tensor([0.5, 0.4999999, 1.0])
    assert torch.equal(solarize(before), tv.solarize(before, 0.5))


def test_hue_is_that_of_torchvision() -> None:
    turns = np.linspace(-0.5, 0.5, 41)  # with multiples of a sixth, and halves of those
    before = pictures(len(turns))
    ours = shift_hue_(before.clone(), turns)
    for picture, turn, after in zip(before, turns, ours, strict=True):
        torch.testing.assert_close(after, tv.adjust_hue(picture, turn), atol=2e-5, rtol=0)


@pytest.mark.parametrize("turn", [-0.5, -0.31, -1 / 6, -0.05, 0.04, 1 / 12, 0.2, 1 / 3, 0.47])
def test_hue_is_that_of_the_standard_library(turn: float) -> None:
    """Colours on a grid, so that ties between channels, greys and pure colours all come."""
    levels = np.linspace(0, 1, 6)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    expected = [
        colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        for hue, saturation, value in (colorsys.rgb_to_hsv(*colour) for colour in colours)
    ]
    before = torch.from_numpy(colours.T.reshape(1, 3, 1, -1)).float()
    after = shift_hue_(before.clone(), np.array([turn]))
    np.testing.assert_allclose(after[0, :, 0].T, expected, atol=1e-6)


def test_no_shift_of_hue_changes_nothing_at_all() -> None:
    before = pictures(4)
    assert torch.equal(shift_hue_(before.clone(), np.zeros(4)), before)


def test_a_shift_of_hue_is_the_same_beside_any_other() -> None:
    before = pictures(5)
    turns = np.array([0.03, -0.2, 0.5, 0.0, -0.11])
    together = shift_hue_(before.clone(), turns)
    for row in range(5):
        alone = shift_hue_(before[row : row + 1].clone(), turns[row : row + 1])
        assert torch.equal(alone[0], together[row])
