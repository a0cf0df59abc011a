"""Layers: what each is made of, how long its vectors are, and which a network does not have."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoders import open_encoder
from models.encoders.choice import choose_tap, output_dim, possible_layers
from models.encoders.layers import StageNorm
from models.errors import EncoderError

TOKENS = ("cls", "mean", "cls+mean")
STAGES = ("last2", "stage1", "stage2", "stage3", "stage4")


def read(network: nn.Module, layer: str, images: Tensor, **options: Any) -> Tensor:
    with torch.inference_mode():
        return choose_tap(network, layer, **options)(network, images)


def pictures(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def vit() -> Any:
    return open_encoder("test_vit", "random:0", input_px=64).network


@pytest.fixture(scope="module")
def resnet() -> Any:
    return open_encoder("test_resnet", "random:0").network


@pytest.fixture(scope="module")
def swin() -> Any:
    """A Swin transformer of four stages, small: 8, 16, 32, 64 channels."""
    options = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)}
    return timm.create_model(
        "swin_tiny_patch4_window7_224", num_classes=0, img_size=64, window_size=2, **options
    ).eval()


def test_tokens_are_those_after_the_final_norm(vit: Any) -> None:
    images = pictures(64)
    with torch.inference_mode():
        tokens = vit.forward_features(images)  # (2, 1 + 16, 64)
    assert tokens.shape == (2, 17, 64)
    averages = torch.stack([sum(image[1:]) / 16 for image in tokens])
    assert torch.equal(read(vit, "cls", images), tokens[:, 0])
    torch.testing.assert_close(read(vit, "mean", images), averages)
    both = torch.cat([tokens[:, 0], averages], dim=1)
    torch.testing.assert_close(read(vit, "cls+mean", images), both)
    assert torch.equal(read(vit, "last", images), tokens[:, 0])


def test_register_tokens_are_not_in_the_mean() -> None:
    network: Any = timm.create_model("test_vit", num_classes=0, reg_tokens=4).eval()
    tokens = torch.randn(1, 1 + 4 + 100, 64)
    network.forward_features = lambda _: tokens
    assert torch.equal(read(network, "mean", pictures(160)), tokens[:, 5:].mean(dim=1))
    assert torch.equal(read(network, "cls", pictures(160)), tokens[:, 0])


def test_mean_is_the_usual_output_of_a_network_that_averages_then_norms() -> None:
    network = open_encoder("test_vit2", "random:0", input_px=64).network
    nn.init.normal_(network.fc_norm.weight)
    images = pictures(64)
    torch.testing.assert_close(read(network, "mean", images), read(network, "last", images))
    assert possible_layers(network) == ["last", "mean"]  # it has no class token


def test_resnet_stages_are_averages_of_its_layers(resnet: Any) -> None:
    images, found = pictures(64), []
    hooks = [
        getattr(resnet, f"layer{number}").register_forward_hook(lambda *_: found.append(_[-1]))
        for number in (1, 2, 3, 4)
    ]
    with torch.inference_mode():
        resnet(images)
    for hook in hooks:
        hook.remove()
    means = [each.mean(dim=(2, 3)) for each in found]
    for number, mean in enumerate(means, start=1):
        torch.testing.assert_close(read(resnet, f"stage{number}", images), mean)
    torch.testing.assert_close(read(resnet, "last2", images), torch.cat(means[2:], dim=1))
    torch.testing.assert_close(read(resnet, "last", images), means[3])


@pytest.mark.parametrize("norm", ["none", "layernorm"])
def test_swin_stages_before_and_after_merging(swin: Any, norm: StageNorm) -> None:
    images, maps, merged = pictures(64), [], []
    with torch.inference_mode():
        rows = swin.patch_embed(images)
        for stage in swin.layers:
            rows = stage.downsample(rows)
            merged.append(rows)
            rows = stage.blocks(rows)
            maps.append(rows)
        usual = swin.norm(rows).mean(dim=(1, 2))

    def vector(rows: Tensor) -> Tensor:
        if norm == "layernorm":
            rows = functional.layer_norm(rows, (rows.shape[-1],))
        return rows.mean(dim=(1, 2))

    for number in (1, 2, 3):
        name = f"stage{number}"
        before = read(swin, name, images, stage_norm=norm)
        torch.testing.assert_close(before, vector(maps[number - 1]))
        after = read(swin, name, images, stage_tap="post_merge", stage_norm=norm)
        torch.testing.assert_close(after, vector(merged[number]))
    both = read(swin, "last2", images, stage_tap="post_merge", stage_norm=norm)
    torch.testing.assert_close(both, torch.cat([vector(merged[3]), usual], dim=1))
    torch.testing.assert_close(read(swin, "stage4", images, stage_norm=norm), usual)


@pytest.mark.parametrize(
    ("tap", "dims"),
    [("pre_merge", (96, 192, 384, 768, 1152)), ("post_merge", (192, 384, 768, 768, 1536))],
)
def test_dims_of_swin_tiny_are_those_of_the_table(tap: Any, dims: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0).eval()
    layers = ("stage1", "stage2", "stage3", "stage4", "last2")
    found = [output_dim(network, choose_tap(network, name, stage_tap=tap), 224) for name in layers]
    assert tuple(found) == dims  # METHODS §2.3


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("test_vit", {"last": 64, "cls": 64, "mean": 64, "cls+mean": 128}),
        ("test_vit2", {"last": 64, "mean": 64}),
        ("test_vit3", {"last": 96, "mean": 96}),
        ("test_resnet", {"last": 96, "last2": 288, "stage1": 32, "stage2": 48, "stage3": 192}),
        ("test_convnext", {"last": 64, "last2": 112, "stage1": 24, "stage4": 64}),
        ("test_efficientnet", {"last": 256, "stage3": 48, "stage4": 256}),
        ("test_coatnet", {"last": 128, "last2": 224}),
    ],
)
def test_the_dim_of_the_card_is_that_of_the_vectors(name: str, dims: dict[str, int]) -> None:
    network = open_encoder(name, "random:0").network
    for layer, dim in dims.items():
        tap = choose_tap(network, layer)
        assert output_dim(network, tap, 160) == dim
        assert read(network, layer, pictures(160)).shape == (2, dim)


@pytest.mark.parametrize(
    ("name", "layer", "possible"),
    [
        ("test_resnet", "cls", ("last", *STAGES)),
        ("test_vit", "stage3", ("last", *TOKENS)),
        ("test_vit", "last3", ("last", *TOKENS)),
        ("test_vit2", "cls", ("last", "mean")),
    ],
)
def test_a_layer_that_is_not_there_is_refused_by_name(
    name: str, layer: str, possible: tuple[str, ...]
) -> None:
    with pytest.raises(EncoderError, match=f"no layer '{layer}'") as told:
        open_encoder(name, "random:0", layer)
    assert str(told.value).endswith("there are: " + ", ".join(possible))


def test_merging_is_refused_where_nothing_merges(resnet: Any) -> None:
    with pytest.raises(EncoderError, match="post_merge is for Swin"):
        choose_tap(resnet, "stage2", stage_tap="post_merge")
    with pytest.raises(EncoderError, match="stage_tap must be one of pre_merge, post_merge, got"):
        choose_tap(resnet, "stage2", stage_tap="later")  # type: ignore[arg-type]


def test_finding_the_dim_computes_and_changes_nothing(resnet: Any) -> None:
    before = {name: tensor.clone() for name, tensor in resnet.state_dict().items()}
    output_dim(resnet, choose_tap(resnet, "last"), 64)
    after = resnet.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert next(resnet.parameters()).device.type == "cpu"


def test_a_size_that_the_network_cannot_take_is_refused(swin: Any) -> None:
    with pytest.raises(EncoderError, match="cannot take images of 80 x 80 px"):
        output_dim(swin, choose_tap(swin, "last"), 80)


def test_tokens_without_pooling_are_no_vector() -> None:
    network = timm.create_model("test_vit", num_classes=0, global_pool="").eval()
    with pytest.raises(EncoderError, match=r"gives no vector.* name one of: cls, mean, cls\+mean"):
        output_dim(network, choose_tap(network, "last"), 160)
