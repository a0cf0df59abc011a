import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import hed2rgb, hed_from_rgb, rgb2hed, rgb_from_hed
from torch import Tensor

from models.augment import open_preset
from models.augment.stain import jitter_stain
from tests.models.augment.twin import MEAN, STD, generator, patches


def stained(rgb: NDArray[np.float64], stain: NDArray[np.float64]) -> NDArray[np.float32]:
    """Jitter pictures of shape (n, H, W, 3)."""
    before = torch.from_numpy(rgb).permute(0, 3, 1, 2).float().contiguous()
    after: Tensor = jitter_stain(before, stain)
    return after.permute(0, 2, 3, 1).numpy()


def mixtures(count: int) -> NDArray[np.float64]:
    """Pictures of which scikit-image takes no stain to be negative."""
    amounts = np.random.default_rng(0).random((count, 12, 12, 3)) * 0.05
    return np.asarray(hed2rgb(amounts))


def test_no_jitter_gives_the_picture_back() -> None:
    rgb = patches(3, 24) / 255
    still = np.tile([[[1.0] * 3, [0.0] * 3]], (3, 1, 1))
    np.testing.assert_allclose(stained(rgb, still), rgb, atol=3e-6)


def test_factors_are_those_of_stains_told_apart_by_scikit_image() -> None:
    rgb = mixtures(4)
    factors = np.random.default_rng(1).uniform(0.6, 1.4, (4, 3))
    stain = np.stack([factors, np.zeros((4, 3))], axis=1)
    expected = hed2rgb(rgb2hed(rgb) * factors[:, None, None])
    np.testing.assert_allclose(stained(rgb, stain), expected, atol=1e-5)


def test_shifts_are_optical_densities_to_base_ten() -> None:
    """In scikit-image's unit, logarithms to base 1e-6, six make one."""
    rgb = mixtures(4)
    shifts = np.random.default_rng(2).uniform(0, 0.2, (4, 3))
    stain = np.stack([np.ones((4, 3)), shifts], axis=1)
    expected = hed2rgb(rgb2hed(rgb) + shifts[:, None, None] / 6)
    np.testing.assert_allclose(stained(rgb, stain), expected, atol=1e-5)


def test_any_colour_follows_the_formula_pixel_by_pixel() -> None:
    """Also where a stain is negative, which scikit-image cuts off."""
    rgb = patches(2, 8) / 255
    stain = (
        open_preset("supervised", side_px=8, mean=MEAN, std=STD, d4=False, stain=0.2)
        .draw(2, generator(0))
        .views[0]
        .stain
    )
    ours = stained(rgb, stain)
    for picture, (factor, shift), after in zip(rgb, stain, ours, strict=True):
        for colour, value in zip(picture.reshape(-1, 3), after.reshape(-1, 3), strict=True):
            density = -np.log10(np.maximum(colour, 1e-6))
            amounts = density @ hed_from_rgb
            again = 10.0 ** -((amounts * factor + shift) @ rgb_from_hed)
            np.testing.assert_allclose(value, np.minimum(again, 1), atol=1e-5)


def test_values_stay_between_black_and_white() -> None:
    rgb = np.stack([np.zeros((6, 6, 3)), np.ones((6, 6, 3))])
    strong = np.array([[[0.01] * 3, [-0.9] * 3], [[1.9] * 3, [-0.9] * 3]])
    after = stained(rgb, strong)
    assert after.min() >= 0
    assert after.max() <= 1
    assert np.isfinite(after).all()
