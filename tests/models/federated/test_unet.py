"""The U-Net of METHODS 9.5: shapes and numbers of parameters."""

from pathlib import Path

import torch

from models.encoders import open_encoder
from models.encoders.unet import UNetEncoder
from models.federated.bench import Bench
from models.federated.plan import Plan
from models.federated.simulation import save_encoder
from models.federated.unet import UNet


def size(network: torch.nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_it_has_as_many_parameters_as_the_source() -> None:
    encoder = UNetEncoder(1, 48)
    assert round(size(encoder), 1) == 10.6
    assert round(size(UNet(encoder, 4)), 1) == 17.5


def test_maps_have_the_channels_and_sides_of_the_source() -> None:
    with torch.device("meta"):
        encoder = UNetEncoder(1, 48)
        found = encoder.maps(torch.empty(1, 1, 352, 352))
    shapes = [tuple(one.shape[1:]) for one in found]
    assert shapes == [(48, 352, 352), (96, 176, 176), (192, 88, 88), (384, 44, 44), (768, 22, 22)]


def test_embeddings_are_means_of_the_centre_and_scores_are_of_every_pixel() -> None:
    encoder = UNetEncoder(3, 2).eval()
    images = torch.randn(2, 3, 32, 48)
    torch.testing.assert_close(encoder(images), encoder.maps(images)[-1].mean(dim=(2, 3)))
    assert UNet(encoder, 3).eval()(images).shape == (2, 3, 32, 48)


def test_an_encoder_of_rgb_patches_is_opened_by_its_file(tmp_path: Path) -> None:
    plan = Plan(method="simclr", data="patches", width=2, side_px=32)
    bench = Bench(plan, torch.device("cpu"))
    save_encoder(bench, bench.weights(), tmp_path, {"a": 7})
    opened = open_encoder(str(tmp_path / "encoder.safetensors"))
    assert (opened.card.name, opened.card.dim) == ("unet-simclr", 32)
    images = torch.randn(2, 3, 32, 32)
    expected = bench.method.encoder.eval()(images)
    torch.testing.assert_close(opened(images), expected, atol=1e-5, rtol=1e-4)
