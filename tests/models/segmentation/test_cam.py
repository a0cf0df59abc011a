"""Grad-CAM against derivatives taken one by one, and against closed forms."""

import pytest
import torch

from models.segmentation.cam import grad_cam
from tests.models.segmentation.tiny import CLASSES, SIDE, classifier, images


def test_maps_are_those_of_derivatives_by_hand() -> None:
    """Each activation is moved a little, and the logit's change is the derivative."""
    network, pixels, step = classifier().double(), images(1, side=8).double(), 1e-6
    found = grad_cam(network, pixels)
    with torch.no_grad():
        taps = network.trunk(pixels)
        later = [
            lambda one: network.decide(
                network.trunk.three(network.trunk.two(one.relu()).relu()).relu()
            ),
            lambda two: network.decide(network.trunk.three(two.relu()).relu()),
            network.decide,
        ]
        for tap, rest, maps in zip(taps, later, found, strict=True):
            expected = torch.zeros(CLASSES, *tap.shape[2:], dtype=torch.float64)
            for c in range(tap.shape[1]):
                slopes = torch.zeros(CLASSES, dtype=torch.float64)
                for y in range(tap.shape[2]):
                    for x in range(tap.shape[3]):
                        moved = tap.clone()
                        moved[0, c, y, x] += step
                        back = tap.clone()
                        back[0, c, y, x] -= step
                        slopes += (rest(moved) - rest(back))[0] / (2 * step)
                alpha = slopes / (tap.shape[2] * tap.shape[3])
                expected += alpha[:, None, None] * tap[0, c]
            torch.testing.assert_close(maps[0], expected, rtol=1e-5, atol=1e-8)


def test_of_a_linear_model_it_is_the_closed_form() -> None:
    """A logit is then a mean of sums of the last map, so alpha is w / (h w)."""
    network = classifier(linear=True)
    pixels = images(2)
    last = network.trunk(pixels)[-1].detach()
    weights = network.fc8.weight.detach().flatten(1)
    expected = torch.einsum("bdhw,cd->bchw", last, weights) / (last.shape[2] * last.shape[3])
    torch.testing.assert_close(grad_cam(network, pixels)[-1], expected)


def test_maps_have_no_relu_and_all_classes_at_every_tap() -> None:
    found = grad_cam(classifier(), images(3))
    assert [tuple(maps.shape) for maps in found] == [(3, CLASSES, SIDE // 2, SIDE // 2)] * 3
    assert all((maps < 0).any() and (maps > 0).any() for maps in found)


def test_images_do_not_influence_each_other() -> None:
    network, pixels = classifier(), images(3)
    together = grad_cam(network, pixels)
    for row in range(3):
        alone = grad_cam(network, pixels[row : row + 1])
        for one, every in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], every[row])


def test_parameters_get_no_gradient_and_may_all_be_frozen() -> None:
    network = classifier()
    expected = grad_cam(network, images(2))
    assert all(p.grad is None for p in network.parameters())
    network.requires_grad_(requires_grad=False)
    with torch.no_grad():
        found = grad_cam(network, images(2))
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)
        assert not mine.requires_grad


def test_a_network_that_drops_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a network in evaluation mode"):
        grad_cam(classifier().train(), images(1))
