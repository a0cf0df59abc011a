"""The encoders that METHODS names, each through a step of the method that it is meant for."""

from dataclasses import replace

import pytest
import torch

from models.encoders import open_encoder
from models.ssl.table import METHODS
from models.training.method import Clock, Views

SIDES = {"resnet18": 32, "resnet50": 32, "vit_small_patch16_224": 224}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("resnet18", "simclr"),
        ("resnet50", "rotnet-jitter"),
        ("ctranspath-swin-tiny", "srcl"),
        ("swin_tiny_patch4_window7_224", "mocov3"),
        ("vit-small-16-moco", "mocov3"),
        ("vit_small_patch16_224", "ds"),
    ],
)
def test_a_step_reaches_every_trained_weight_of_the_encoder(name: str, method: str) -> None:
    side = SIDES.get(name, 224)
    recipe = METHODS[method]
    encoder = open_encoder(name, "random:0", input_px=side)
    made = recipe.make(encoder, replace(recipe.method, hidden=32), classes=0, seed=0).train()
    count = 4 if method.startswith("rotnet") else 2
    generator = torch.Generator().manual_seed(0)
    images = tuple(torch.randn(3, 3, side, side, generator=generator) for _ in range(count))
    views = Views(images, torch.arange(3), torch.arange(3), None)
    clock = Clock(9, 10, 9, 10)
    found = made(views, made.begin_step([views], clock), 0, clock)
    found.loss.backward()
    assert torch.isfinite(found.loss)
    trained = [(n, p) for n, p in made.encoder.named_parameters() if p.requires_grad]
    without = [n for n, p in trained if p.grad is None or not torch.isfinite(p.grad).all()]
    assert len(trained) > 10
    assert not without
