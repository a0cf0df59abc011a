"""The preset of DISTL: ten views, of which the first is the patch itself (METHODS 8.3)."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from models.augment import Preset, open_preset
from models.augment.tones import autocontrast, equalize
from tests.models.augment.twin import MEAN, STD, generator, patches

COUNT = 5_000


def opened(side_px: int = 32) -> Preset:
    return open_preset("distl", side_px=side_px, mean=MEAN, std=STD, d4=False)


@pytest.mark.parametrize("patch_px", [32, 48])
def test_the_first_view_is_the_resized_patch(patch_px: int) -> None:
    pixels, preset = patches(6, patch_px), opened()
    first = preset.apply(torch.from_numpy(pixels), preset.draw(6, generator(0)))[0]
    whole = torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255
    resized = tv.resize(whole, [32, 32], antialias=True)
    expected = tv.normalize(resized, list(MEAN), list(STD)).float()
    torch.testing.assert_close(first, expected, atol=2e-5, rtol=0)


def test_one_global_and_eight_local_views_follow_it() -> None:
    preset = opened()
    views = preset.apply(torch.from_numpy(patches(2, 32)), preset.draw(2, generator(0)))
    assert [view.shape[-1] for view in views] == [32, 32, *[16] * 8]
    other = open_preset("distl", side_px=32, mean=MEAN, std=STD, d4=False, local_px=12)
    views = other.apply(torch.from_numpy(patches(2, 32)), other.draw(2, generator(0)))
    assert [view.shape[-1] for view in views] == [32, 32, *[12] * 8]


def test_views_are_drawn_by_the_published_laws() -> None:
    first, whole, *local = opened().draw(COUNT, generator(1)).views
    assert not first.flip.any()
    assert not first.tilt.any()
    assert not first.sigma.any()
    assert not first.autocontrast.any()
    assert not first.equalized.any()
    assert not first.jittered.any()
    assert np.array_equal(first.crop, np.tile((1.0, 1.0, 0.0, 0.0), (COUNT, 1)))
    for view, areas, share in [(whole, (0.75, 1.0), 0.3), *[(v, (0.2, 0.6), 0.5) for v in local]]:
        area = view.crop[:, 0] * view.crop[:, 1]
        assert areas[0] - 1e-9 <= area.min()
        assert area.max() <= areas[1] + 1e-9
        assert abs(view.tilt).max() <= 15
        assert view.tilt.min() < -14 < 14 < view.tilt.max()
        for chosen in (view.autocontrast, view.equalized, view.sigma > 0):
            assert chosen.mean() == pytest.approx(share, abs=0.04)
        assert view.flip[:, 1].mean() == pytest.approx(0.5, abs=0.04)
        assert not view.flip[:, 0].any()
        assert not view.turn.any()
        assert not view.jittered.any()
        assert not view.grey.any()
        assert not view.solarized.any()


def test_tones_are_those_of_torchvision() -> None:
    pictures = torch.from_numpy(patches(8, 40)).permute(0, 3, 1, 2).float() / 255
    pictures[0, 1] = 0.4  # of one value
    pictures[1] = (pictures[1] > 0.5).float()
    torch.testing.assert_close(autocontrast(pictures), tv.autocontrast(pictures))
    torch.testing.assert_close(equalize(pictures), tv.equalize(pictures))
