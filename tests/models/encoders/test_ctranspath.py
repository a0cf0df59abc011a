"""CTransPath: the stem, the published file's layout, its features, against a forward of its own."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.encoders import Encoder, open_encoder
from models.encoders.choice import choose_tap
from models.encoders.layers import StageTap
from models.errors import EncoderError
from tests.models.encoders.old_swin import old_forward, old_layout

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def layout() -> dict[str, Tensor]:
    return old_layout(seed=3)


@pytest.fixture(scope="module")
def checkpoint(layout: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ctranspath") / "ctranspath.pth"
    torch.save({"model": layout}, path)
    return path


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def expected(layout: dict[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    return old_forward(layout, images)


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> Encoder:
    return open_encoder("ctranspath-swin-tiny", checkpoint)


def features(encoder: Encoder, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return encoder(images)


def test_every_tensor_of_the_published_layout_lands(
    encoder: Encoder, layout: dict[str, Tensor]
) -> None:
    state = encoder.network.state_dict()
    computed = ("attn_mask", "relative_position_index")
    stored = {key: tensor for key, tensor in layout.items() if not key.endswith(computed)}
    assert len(state) == len(stored)
    for key, tensor in stored.items():
        moved = key
        for stage in (2, 1, 0):  # merging now starts the next stage
            moved = moved.replace(f"layers.{stage}.downsample", f"layers.{stage + 1}.downsample")
        assert torch.equal(state[moved], tensor), key


def test_usual_output_is_that_of_the_published_network(
    encoder: Encoder, images: Tensor, expected: dict[str, Tensor]
) -> None:
    torch.testing.assert_close(features(encoder, images), expected["out"], **CLOSE)
    assert (encoder.card.dim, encoder.card.input_px, encoder.card.method) == (768, 224, "unknown")


@pytest.mark.parametrize(
    ("layer", "tap", "parts"),
    [
        ("stage1", "pre_merge", ("map1",)),
        ("last2", "pre_merge", ("map3", "out")),
        ("stage2", "post_merge", ("merged2",)),
    ],
)
def test_stages_are_averages_of_the_published_maps(
    encoder: Encoder,
    images: Tensor,
    expected: dict[str, Tensor],
    layer: str,
    tap: StageTap,
    parts: tuple[str, ...],
) -> None:
    read = choose_tap(encoder.network, layer, stage_tap=tap)
    found = [expected[part] for part in parts]
    vectors = [part.mean(dim=(1, 2)) if part.ndim == 4 else part for part in found]
    with torch.inference_mode():
        answer = read(encoder.network, images)
    torch.testing.assert_close(answer, torch.cat(vectors, dim=1), **CLOSE)


def test_stem_has_the_layers_of_the_paper(encoder: Encoder) -> None:
    kinds = [type(layer).__name__ for layer in encoder.network.patch_embed.proj]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    count = sum(parameter.numel() for parameter in encoder.network.parameters())
    assert 27_400_000 < count < 27_600_000  # "about 27.5 M", METHODS


@pytest.mark.parametrize("side", [112, 256])
def test_only_224_px_is_taken(encoder: Encoder, side: int) -> None:
    with pytest.raises(EncoderError, match="exactly 224 px"):
        encoder(torch.zeros(1, 3, side, side))
    with pytest.raises(EncoderError, match=f"exactly 224 px, not {side}"):
        open_encoder("ctranspath", "random:0", input_px=side)


def test_card_says_what_was_opened(encoder: Encoder, checkpoint: Path) -> None:
    card = open_encoder("ctranspath", checkpoint, "last2", stage_tap="post_merge").card
    assert card.encoder_id == "ctranspath-swin-tiny.last2"
    assert (card.dim, card.weights) == (1536, "ctranspath.pth")
    assert card.layer_options == {"stage_tap": "post_merge", "stage_norm": "none"}
    assert card.weights_sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert encoder.card.layer_options == {}
    assert card.identity != encoder.card.identity
