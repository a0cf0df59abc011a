"""Masks follow their patches."""

import numpy as np
import pytest
import torch

from models.augment import Preset, open_preset
from tests.models.augment.twin import generator


def opened(name: str, *, d4: bool = False, side_px: int = 16) -> Preset:
    flat = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return open_preset(name, side_px=side_px, d4=d4, **flat)


@pytest.mark.parametrize(("name", "d4"), [("wsss-cls", False), ("supervised", True)])
def test_masks_move_as_their_patches(name: str, d4: bool) -> None:
    masks = np.random.default_rng(0).integers(0, 5, (40, 3, 16, 16), dtype=np.uint8)
    pixels = torch.from_numpy(masks).permute(0, 2, 3, 1) * 50  # each mask as one colour
    preset = opened(name, d4=d4)
    params = preset.draw(40, generator(1))
    [view] = preset.apply(pixels.contiguous(), params)
    moved = preset.follow(torch.from_numpy(masks), params)
    assert torch.equal((view * 255 / 50).round().to(torch.uint8), moved)
    assert not torch.equal(moved, torch.from_numpy(masks))


def test_segmentation_views_flip_left_right_alone_and_blur_up_to_one_pixel() -> None:
    [drawn] = opened("wsss-seg").draw(4000, generator(2)).views
    assert not drawn.flip[:, 0].any()
    assert drawn.flip[:, 1].mean() == pytest.approx(0.5, abs=0.04)
    blurred = drawn.sigma[drawn.sigma > 0]
    assert len(blurred) / 4000 == pytest.approx(0.5, abs=0.04)
    assert blurred.min() < 0.05
    assert 0.95 < blurred.max() <= 1
    assert blurred.mean() == pytest.approx(0.5, abs=0.04)


def test_masks_that_cannot_follow_to_the_pixel_are_refused() -> None:
    masks = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    for preset in (opened("simclr"), opened("wsss-cls", side_px=8)):
        with pytest.raises(ValueError, match="cannot follow views of"):
            preset.follow(masks, preset.draw(2, generator(3)))
