"""Networks of ours, and networks without memory that are filled from a file."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.encoders import open_encoder
from models.encoders.networks import build_empty, build_network
from models.encoders.positions import sincos_positions
from models.errors import EncoderError


def test_positions_are_those_of_moco_v3_one_by_one() -> None:
    rows, columns, dim = 3, 4, 16
    found = sincos_positions(rows, columns, dim)
    assert found.shape == (1, 1 + rows * columns, dim)
    assert not found[0, 0].any()
    for number in range(rows * columns):
        first, second = divmod(number, rows)  # the published grid runs columns first
        for channel in range(dim):
            kind, place = divmod(channel, dim // 4)
            angle = (first, first, second, second)[kind] / 10_000 ** (place / (dim // 4))
            expected = (math.sin, math.cos)[kind % 2](angle)
            assert found[0, 1 + number, channel].item() == pytest.approx(expected, abs=1e-5)


def test_moco_vit_small_has_twelve_heads_and_fixed_positions() -> None:
    network: Any = build_empty("vit-small-16-moco", {"img_size": 64})
    assert [block.attn.num_heads for block in network.blocks] == [12] * 12
    assert network.embed_dim == 384
    assert not network.pos_embed.requires_grad
    assert network.pos_embed.shape == (1, 17, 384)


def test_vit_small_8_has_the_tokens_of_the_paper() -> None:
    network: Any = build_empty("timm:vit_small_patch8_224", {"img_size": 256})
    assert network.pos_embed.shape == (1, 1024 + 1, 384)  # METHODS §2.2
    assert len(network.blocks) == 12
    assert {block.attn.num_heads for block in network.blocks} == {6}


@pytest.mark.parametrize(
    ("name", "side"),
    [("test_vit4", 160), ("test_coatnet", 160), ("test_maxvit", 160), ("test_vit_relpos", 160)],
)
def test_an_empty_network_is_filled_to_the_last_computed_tensor(
    name: str, side: int, tmp_path: Path
) -> None:
    drawn = open_encoder(name, "random:2")
    save_file(drawn.network.state_dict(), tmp_path / "weights.safetensors")
    filled = open_encoder(name, tmp_path / "weights.safetensors")
    every = dict(filled.named_buffers()) | dict(filled.named_parameters())
    assert not any(tensor.is_meta for tensor in every.values())
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(filled(images), drawn(images))


def test_options_that_a_network_does_not_take_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"cannot build timm:test_resnet with .*'wings': 2"):
        build_network("timm:test_resnet", {"wings": 2})
    with pytest.raises(EncoderError, match="no network is called 'magic'"):
        build_network("magic", {})
