"""Pixels to images: against torchvision, resized or not, and the modes that `embed` uses."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional, v2

from models.encoders import Encoder, open_encoder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return open_encoder("test_vit", "random:0", input_px=64)


@pytest.fixture(scope="module")
def resnet() -> Encoder:
    return open_encoder("test_resnet", "random:0", input_px=64)


def drawn(height: int, width: int, count: int = 2) -> Tensor:
    draw = np.random.default_rng(4)
    return torch.from_numpy(draw.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", ["encoder", "resnet"])
def test_equal_to_torchvision(name: str, request: pytest.FixtureRequest) -> None:
    opened: Encoder = request.getfixturevalue(name)
    pixels = drawn(64, 64)
    answer = opened.prepare(pixels)
    card = opened.card
    for image, found in zip(pixels, answer, strict=True):
        scaled = functional.to_tensor(Image.fromarray(image.numpy()))
        expected = functional.normalize(scaled, list(card.mean), list(card.std))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (answer.dtype, answer.shape) == (torch.float32, (2, 3, 64, 64))


def test_every_value_of_a_pixel_is_scaled_as_torchvision_does(resnet: Encoder) -> None:
    ramp = (
        torch.arange(256, dtype=torch.uint8).repeat(16).reshape(1, 64, 64, 1).expand(-1, -1, -1, 3)
    )
    scale = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(resnet.card.mean), list(resnet.card.std)),
        ]
    )
    expected = scale(ramp.permute(0, 3, 1, 2))
    torch.testing.assert_close(resnet.prepare(ramp), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(80, 80), (50, 50), (64, 100)])
def test_another_side_is_resized_as_torchvision_does(
    resnet: Encoder, height: int, width: int
) -> None:
    pixels = drawn(height, width)
    scaled = functional.resize(pixels.permute(0, 3, 1, 2).float() / 255, [64, 64], antialias=True)
    expected = functional.normalize(scaled, list(resnet.card.mean), list(resnet.card.std))
    torch.testing.assert_close(resnet.prepare(pixels), expected, rtol=0, atol=1e-5)


def test_pixels_are_left_as_they_are(resnet: Encoder) -> None:
    pixels = drawn(64, 64)
    before = pixels.clone()
    resnet.prepare(pixels)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", ["encoder", "resnet"])
def test_channels_last_and_bfloat16_change_features_little(
    name: str, request: pytest.FixtureRequest
) -> None:
    opened: Encoder = request.getfixturevalue(name)
    images = opened.prepare(drawn(64, 64, count=4))
    with torch.inference_mode():
        plain = opened(images.contiguous())
        opened.to(memory_format=torch.channels_last)
        last = opened(images.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            halved = opened(images.to(memory_format=torch.channels_last)).float()
        opened.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-5)
    assert torch.cosine_similarity(halved, plain).min() > 0.999


@pytest.mark.parametrize(("name", "layer"), [("test_vit", "cls+mean"), ("test_resnet", "last2")])
def test_a_compiled_encoder_gives_the_same(name: str, layer: str) -> None:
    opened = open_encoder(name, "random:0", layer, input_px=64)
    images = opened.prepare(drawn(64, 64))
    with torch.inference_mode():
        compiled = torch.compile(opened, backend="eager")  # traced as ever, no compiler needed
        torch.testing.assert_close(compiled(images), opened(images), rtol=1e-5, atol=1e-6)


def test_moving_an_encoder_moves_its_normalisation(resnet: Encoder) -> None:
    moved = open_encoder("test_resnet", "random:0", input_px=64).to("meta")
    assert moved.prepare(torch.empty(1, 64, 64, 3, dtype=torch.uint8, device="meta")).is_meta
    assert "scale" not in resnet.state_dict()
