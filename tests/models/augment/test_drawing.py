"""Laws of what is drawn, each on 20,000 patches: bounds are exact, shares within 5 sigma."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms import RandomResizedCrop

from models.augment import PRESETS, ViewParams, open_preset
from models.augment.params import BRIGHTNESS, CONTRAST, HUE, SATURATION
from tests.models.augment.twin import MEAN, STD, generator

COUNT = 20_000


def drawn(name: str, **changes: Any) -> tuple[ViewParams, ...]:
    preset = open_preset(name, **{"side_px": 32, "mean": MEAN, "std": STD, "d4": False} | changes)
    return preset.draw(COUNT, generator(0)).views


def assert_share(chosen: NDArray[np.bool_], share: float) -> None:
    allowed = 5 * np.sqrt(share * (1 - share) / len(chosen))
    assert abs(chosen.mean() - share) <= allowed


def assert_uniform(values: NDArray[np.float64], low: float, high: float) -> None:
    assert low <= values.min() < values.max() <= high
    counts = np.histogram(values, bins=10, range=(low, high))[0]
    for count in counts:
        assert abs(count - len(values) / 10) < 5 * np.sqrt(0.09 * len(values))


@pytest.mark.parametrize(("crop_min", "least"), [(None, 0.08), (0.5, 0.5)])
def test_crops_have_areas_and_ratios_in_range(crop_min: float | None, least: float) -> None:
    crop = drawn("simclr", crop_min=crop_min)[0].crop
    area, ratio = crop[:, 0] * crop[:, 1], crop[:, 1] / crop[:, 0]
    assert least <= area.min() < area.max() <= 1 + 1e-12
    assert 3 / 4 - 1e-12 <= ratio.min() < ratio.max() <= 4 / 3 + 1e-12
    assert crop[:, :2].max() <= 1
    assert_uniform(crop[:, 2], 0, 1)
    assert_uniform(crop[:, 3], 0, 1)


def test_crops_follow_the_law_of_torchvision() -> None:
    crop = drawn("simclr")[0].crop
    image = torch.zeros(3, 1000, 1000)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        boxes = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in crop]
    expected = np.array(boxes)[:, 2:] / 1000
    for ours, theirs in zip(crop[:, :2].T, expected.T, strict=True):
        for share in (0.05, 0.25, 0.5, 0.75, 0.95):
            assert np.quantile(ours, share) == pytest.approx(np.quantile(theirs, share), abs=0.015)
    assert_share(np.all(crop[:, :2] == 1, axis=1), float(np.mean(np.all(expected == 1, axis=1))))


def test_a_crop_of_the_whole_patch_falls_back_to_it() -> None:
    crop = drawn("simclr", crop_min=1.0)[0].crop
    assert np.array_equal(crop[:, :2], np.ones((COUNT, 2)))


def test_colours_are_jittered_as_often_and_as_far_as_told() -> None:
    for view in drawn("moco-v3"):
        assert_share(view.jittered, 0.8)
        assert_uniform(view.factors[:, BRIGHTNESS], 0.6, 1.4)
        assert_uniform(view.factors[:, CONTRAST], 0.6, 1.4)
        assert_uniform(view.factors[:, SATURATION], 0.8, 1.2)
        assert_uniform(view.factors[:, HUE], -0.1, 0.1)
    assert_uniform(drawn("simclr", strength=2.0)[0].factors[:, BRIGHTNESS], 0.0, 2.6)


def test_all_orders_of_the_jitter_are_as_likely() -> None:
    order = drawn("simclr")[0].order
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(4), (COUNT, 1)))
    _, counts = np.unique(order, axis=0, return_counts=True)
    assert len(counts) == 24
    assert abs(counts - COUNT / 24).max() < 5 * np.sqrt(COUNT / 24)


@pytest.mark.parametrize(
    ("name", "blur", "solarize", "grey"),
    [
        ("moco-v3", (1.0, 0.1), (0.0, 0.2), 0.2),
        ("simclr", (0.5, 0.5), (0.0, 0.0), 0.2),
        ("supervised", (0.0,), (0.0,), 0.0),
        ("rotation-jitter", (0.0,) * 4, (0.0,) * 4, 0.0),
    ],
)
def test_views_are_blurred_solarized_and_greyed_as_often_as_told(
    name: str, blur: tuple[float, ...], solarize: tuple[float, ...], grey: float
) -> None:
    for view, blurred, solarized in zip(drawn(name), blur, solarize, strict=True):
        assert_share(view.sigma > 0, blurred)
        assert_share(view.solarized, solarized)
        assert_share(view.grey, grey)
        if blurred:
            assert_uniform(view.sigma[view.sigma > 0], 0.1, 2.0)


def test_d4_gives_all_eight_orientations_alike() -> None:
    for name in ("simclr", "moco-v3"):
        for view in drawn(name, d4=True):
            # two flips are half a turn
            turn = (view.turn + 2 * view.flip.all(1)) % 4
            mirror = view.flip[:, 0] ^ view.flip[:, 1]
            flipped_up = view.flip[:, 0] & ~view.flip[:, 1]  # a left-right flip and half a turn
            orientation = 4 * mirror + (turn + 2 * flipped_up) % 4
            for number in range(8):
                assert_share(orientation == number, 1 / 8)


@pytest.mark.parametrize("name", PRESETS)
def test_without_d4_nothing_is_turned_by_chance(name: str) -> None:
    views = drawn(name)
    for number, view in enumerate(views):
        assert set(view.turn) == ({number} if name.startswith("rotation") else {0})
        pristine = name == "distl" and number == 0
        assert_share(view.flip[:, 1], 0.0 if pristine else 0.5)
        assert_share(view.flip[:, 0], 0.5 if name in ("supervised", "wsss-cls") else 0.0)


@pytest.mark.parametrize("name", ["rotation", "rotation-jitter"])
def test_rotated_copies_share_crop_and_flip_but_not_colours(name: str) -> None:
    first, *others = drawn(name)
    for view in others:
        assert np.array_equal(view.crop, first.crop)
        assert np.array_equal(view.flip, first.flip)
        assert not np.array_equal(view.factors, first.factors) or name == "rotation"
        assert not np.array_equal(view.jittered, first.jittered) or name == "rotation"
        assert not np.array_equal(view.order, first.order)


def test_stains_are_scaled_and_shifted_within_the_strength() -> None:
    stain = drawn("supervised", stain=0.2)[0].stain
    for dye in range(3):
        assert_uniform(stain[:, 0, dye], 0.8, 1.2)
        assert_uniform(stain[:, 1, dye], -0.2, 0.2)
    still = drawn("supervised")[0].stain
    assert np.array_equal(still, np.tile([[[1.0] * 3, [0.0] * 3]], (COUNT, 1, 1)))


class Uniform:
    """All that may be asked of a generator."""

    def __init__(self, seed: int) -> None:
        self._generator = generator(seed)

    def random(self, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
        return self._generator.random(shape)


@pytest.mark.parametrize("name", PRESETS)
def test_only_uniform_numbers_are_drawn(name: str) -> None:
    stain = 0.0 if name == "distl" else 0.1
    preset = open_preset(name, side_px=32, mean=MEAN, std=STD, d4=False, stain=stain)
    params = preset.draw(5, Uniform(3))  # type: ignore[arg-type]
    for one, other in zip(params.views, preset.draw(5, generator(3)).views, strict=True):
        assert all(
            np.array_equal(getattr(one, field.name), getattr(other, field.name))
            for field in fields(one)
        )
