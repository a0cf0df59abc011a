import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from models.augment.blur import Blur, kernel_ends
from models.augment.view import BlurReach
from tests.models.augment.twin import patches


def pictures(count: int, side_px: int) -> Tensor:
    return torch.from_numpy(patches(count, side_px)).permute(0, 3, 1, 2).contiguous() / 255


def blurred(before: Tensor, sigma: NDArray[np.float64], reach: BlurReach) -> Tensor:
    """Blur and stand the pictures up again."""
    blur = Blur.of(sigma, reach, before.shape[-1], before.device)
    after = blur.apply(before.clone(), slice(0, len(before)))
    turned = torch.from_numpy(blur.transposes)[:, None, None, None]
    return torch.where(turned, after.mT, after)


@pytest.mark.parametrize("side_px", [9, 40, 224])
@pytest.mark.parametrize("reach", ["tenth", "four-sigma"])
def test_blurs_are_those_of_scipy(side_px: int, reach: BlurReach) -> None:
    """Weights beyond 5 sigma, which only we leave out, are less than 4e-6 of the largest."""
    sigma = np.array([2.0, 1.3, 0.9, 0.5, 0.3, 0.1])
    before = pictures(6, side_px)
    after = blurred(before, sigma, reach)
    for one, width, picture in zip(before.double(), sigma, after, strict=True):
        end = side_px // 20 if reach == "tenth" else int(np.ceil(4 * width))
        rows = gaussian_filter1d(one.numpy(), width, axis=1, mode="mirror", radius=end)
        both = gaussian_filter1d(rows, width, axis=2, mode="mirror", radius=end)
        np.testing.assert_allclose(picture, both, atol=2e-6)


def test_pictures_that_are_not_blurred_stay_as_they_are() -> None:
    before = pictures(4, 32)
    after = blurred(before, np.array([0.0, 1.5, 0.0, 0.4]), "four-sigma")
    assert torch.equal(after[::2], before[::2])
    assert not torch.equal(after[3], before[3])
    assert not torch.equal(after[1], before[1])


def test_a_blur_is_the_same_beside_a_wider_one() -> None:
    before = pictures(2, 32)
    together = blurred(before, np.array([2.0, 0.35]), "four-sigma")
    alone = blurred(before[1:], np.array([0.35]), "four-sigma")
    assert torch.equal(alone[0], together[1])


def test_a_blur_keeps_a_flat_picture() -> None:
    flat = torch.full((1, 3, 20, 20), 0.7)
    torch.testing.assert_close(
        blurred(flat, np.array([1.9]), "four-sigma"), flat, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blurs_are_close_to_those_of_pil(sigma: float) -> None:
    """PIL's is made of running means, and rounds; ours is the Gaussian that it stands for."""
    pixels = patches(1, 64)
    theirs = Image.fromarray(pixels[0]).filter(ImageFilter.GaussianBlur(sigma))
    before = pictures(1, 64)
    ours = 255 * blurred(before, np.array([sigma]), "four-sigma")[0].permute(1, 2, 0).numpy()
    inner = (slice(8, -8), slice(8, -8))  # edges are mirrored here, repeated there
    difference = ours[inner] - np.asarray(theirs, np.float64)[inner]
    change = ours[inner] - pixels[0].astype(np.float64)[inner]
    assert np.sqrt(np.mean(difference**2)) < 0.15 * np.sqrt(np.mean(change**2)) + 0.5


def test_kernels_reach_as_far_as_the_papers_say() -> None:
    sigma = np.array([0.0, 0.1, 0.3, 1.2, 2.0, 9.0])
    # SimCLR's 10 % of the side, made odd: 23 pixels, of which narrow Gaussians fill fewer
    assert kernel_ends(sigma, "tenth", 224).tolist() == [0, 1, 2, 6, 10, 11]
    assert kernel_ends(sigma, "tenth", 64).tolist() == [0, 1, 2, 3, 3, 3]
    assert kernel_ends(sigma, "tenth", 16).tolist() == [0] * 6
    assert kernel_ends(sigma, "four-sigma", 224).tolist() == [0, 1, 2, 5, 8, 36]
    assert kernel_ends(sigma, "four-sigma", 5).tolist() == [0, 1, 2, 4, 4, 4]
