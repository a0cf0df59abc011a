from dataclasses import fields

import numpy as np
import pytest
import torch

from models.augment import PRESETS, Preset, open_preset
from tests.models.augment.twin import MEAN, STD, generator, patches, views_of

CLOSE = 2e-5
"""On normalised values, whose unit is about a fifth of the range of grey."""


def opened(name: str, side_px: int = 32, *, d4: bool = False, stain: float = 0.0) -> Preset:
    return open_preset(name, side_px=side_px, mean=MEAN, std=STD, d4=d4, stain=stain)


@pytest.mark.parametrize(("patch_px", "side_px"), [(32, 32), (75, 40), (24, 64), (224, 224)])
@pytest.mark.parametrize(
    ("name", "d4", "stain"),
    [
        *[(name, False, 0.0) for name in PRESETS],
        *[(name, True, 0.0) for name in ("simclr", "moco-v3", "supervised")],
        ("simclr", True, 0.05),
        ("rotation", False, 0.05),
    ],
)
def test_views_are_those_of_the_plain_pipeline(
    name: str, d4: bool, stain: float, patch_px: int, side_px: int
) -> None:
    count = 5 if side_px > 64 else 24
    pixels = patches(count, patch_px)
    preset = opened(name, side_px, d4=d4, stain=stain)
    params = preset.draw(count, generator(1))
    views = preset.apply(torch.from_numpy(pixels), params)
    assert len(views) == preset.views
    for view, twin in zip(views, views_of(pixels, preset, params), strict=True):
        assert view.dtype == torch.float32
        assert view.is_contiguous()
        if name == "distl":
            assert_nearly_all_close(view, twin)
        else:
            torch.testing.assert_close(view, twin, atol=CLOSE, rtol=0)


def assert_nearly_all_close(view: torch.Tensor, twin: torch.Tensor) -> None:
    """What is cut into 256 levels may be of the next one, and edges of what is tilted differ."""
    away = (view - twin).abs()
    assert (away > CLOSE).float().mean() < 0.01
    assert away.max() < 0.1


@pytest.mark.parametrize(("name", "stain"), [("simclr", 0.2), ("moco-v3", 0), ("rotation", 0)])
def test_rows_give_the_same_pictures_as_the_whole(name: str, stain: float) -> None:
    pixels = torch.from_numpy(patches(12, 32))
    preset = opened(name, stain=stain)
    params = preset.draw(12, generator(2))
    whole = preset.apply(pixels, params)
    for rows in (np.array([7, 2, 11]), np.array([4]), slice(3, 9)):
        part = preset.apply(pixels[rows], params.rows(rows))
        for one, every in zip(part, whole, strict=True):
            # a logarithm may differ in its last bit, wherever the processor's vectors begin
            torch.testing.assert_close(one, every[rows], atol=2e-6 if stain else 0, rtol=0)


def test_slices_and_indices_choose_the_same_parameters() -> None:
    params = opened("moco-v3").draw(10, generator(3))
    for one, other in zip(
        params.rows(slice(2, 5)).views, params.rows(np.array([2, 3, 4])).views, strict=True
    ):
        for field in fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_seed_gives_the_same_pictures(name: str) -> None:
    pixels = torch.from_numpy(patches(6, 32))
    preset = opened(name)
    once, again, other = (
        torch.cat([v.flatten() for v in preset.apply(pixels, preset.draw(6, generator(seed)))])
        for seed in (5, 5, 6)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("name", PRESETS)
def test_a_patch_changes_only_its_own_pictures(name: str) -> None:
    pixels = torch.from_numpy(patches(9, 32))
    preset = opened(name)
    params = preset.draw(9, generator(7))
    changed = pixels.clone()
    changed[4] = 255 - changed[4]
    for before, after in zip(
        preset.apply(pixels, params), preset.apply(changed, params), strict=True
    ):
        differs = (before != after).flatten(1).any(1)
        assert differs.tolist() == [row == 4 for row in range(9)]


def test_the_patches_themselves_are_not_touched() -> None:
    pixels = torch.from_numpy(patches(8, 32))
    before = pixels.clone()
    preset = opened("simclr", d4=True, stain=0.1)
    preset.apply(pixels, preset.draw(8, generator(8)))
    assert torch.equal(pixels, before)


def test_the_number_of_threads_changes_nothing() -> None:
    pixels = torch.from_numpy(patches(5, 96))
    preset = opened("simclr", 96)
    params = preset.draw(5, generator(9))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = preset.apply(pixels, params)
        torch.set_num_threads(2)
        two = preset.apply(pixels, params)
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, one, two))


def test_autocast_does_not_make_pictures_coarser() -> None:
    pixels = torch.from_numpy(patches(5, 32))
    preset = opened("simclr", stain=0.2)
    params = preset.draw(5, generator(10))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = preset.apply(pixels, params)
    assert all(map(torch.equal, inside, preset.apply(pixels, params)))


@pytest.mark.parametrize("name", PRESETS)
def test_no_patches_give_no_pictures(name: str) -> None:
    preset = opened(name)
    views = preset.apply(torch.zeros(0, 32, 32, 3, dtype=torch.uint8), preset.draw(0, generator(0)))
    sides = [16 if view.local else 32 for view in preset.recipe.views]
    assert [tuple(view.shape) for view in views] == [(0, 3, side, side) for side in sides]


@pytest.mark.parametrize(
    "pixels",
    [
        torch.zeros(2, 32, 32, 3),
        torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(2, 32, 24, 3, dtype=torch.uint8),
        torch.zeros(32, 32, 3, dtype=torch.uint8),
    ],
    ids=["float", "channels first", "not square", "one patch"],
)
def test_pixels_of_another_kind_are_refused(pixels: torch.Tensor) -> None:
    preset = opened("simclr")
    with pytest.raises(ValueError, match=r"pixels must be uint8 of shape \(B, P, P, 3\), got"):
        preset.apply(pixels, preset.draw(2, generator(0)))


def test_parameters_of_other_patches_or_views_are_refused() -> None:
    pixels = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"parameters of \[3, 3\] patches for 2 views of 2"):
        opened("simclr").apply(pixels, opened("simclr").draw(3, generator(0)))
    with pytest.raises(ValueError, match=r"parameters of \[2\] patches for 2 views of 2"):
        opened("simclr").apply(pixels, opened("supervised").draw(2, generator(0)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", PRESETS)
def test_a_gpu_makes_the_same_pictures(name: str) -> None:
    pixels = torch.from_numpy(patches(48, 96))
    preset = opened(name, 64, stain=0.0 if name == "distl" else 0.1)
    params = preset.draw(48, generator(11))
    for here, there in zip(
        preset.apply(pixels, params), preset.apply(pixels.cuda(), params), strict=True
    ):
        if name == "distl":
            assert_nearly_all_close(here, there.cpu())
        else:
            torch.testing.assert_close(here, there.cpu(), atol=CLOSE, rtol=0)
