"""The trunk of METHODS 10.2, without memory for its weights where they are not needed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.errors import EncoderError, WeightsError
from models.segmentation.backbone import open_trunk
from models.segmentation.classifier import Classifier
from models.segmentation.resnet38 import TAPS, Bottleneck, Residual, ResNet38

MILLION = 1e6
TABLE = {
    "conv1a": (64, 1),
    "b2": (128, 2),
    "b2_1": (128, 2),
    "b2_2": (128, 2),
    "b3": (256, 4),
    "b3_2": (256, 4),
    "b4": (512, 8),
    "b4_5": (512, 8),
    "b5": (1024, 8),
    "b5_1": (1024, 8),
    "b5_2": (1024, 8),
    "b6": (2048, 8),
    "b7": (4096, 8),
    "bn7": (4096, 8),
}
"""Channels, and by how much a block's output is smaller than the patch."""


@pytest.fixture(scope="module")
def empty() -> ResNet38:
    with torch.device("meta"):
        return ResNet38()


@pytest.mark.parametrize("side", [224, 64, 120])
def test_every_block_has_the_shape_of_the_table(empty: ResNet38, side: int) -> None:
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str) -> None:
        def hook(_module: nn.Module, _given: object, found: Tensor) -> None:
            shapes[name] = tuple(found.shape)

        handles.append(empty.get_submodule(name).register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name in TABLE:
        keep(name)
    taps = empty(torch.zeros(2, 3, side, side, device="meta"))
    for handle in handles:
        handle.remove()
    assert shapes == {n: (2, c, side // by, side // by) for n, (c, by) in TABLE.items()}
    assert [tuple(tap.shape) for tap in taps] == [shapes[name] for name in TAPS]


def test_odd_sizes_are_rounded_up_at_every_stride(empty: ResNet38) -> None:
    taps = empty(torch.zeros(1, 3, 67, 50, device="meta"))
    assert [tuple(tap.shape[2:]) for tap in taps] == [(9, 7)] * 3


def test_it_has_105_million_parameters_with_its_head(empty: ResNet38) -> None:
    with torch.device("meta"):
        network = Classifier(empty, 4)
    count = sum(p.numel() for p in network.parameters())
    assert count / MILLION == pytest.approx(105.1, abs=0.05)
    assert network.fc8.weight.shape == (4, 4096, 1, 1)
    assert network.fc8.bias is None


def test_dilations_are_those_of_the_table(empty: ResNet38) -> None:
    def dilations(name: str) -> list[int]:
        block = empty.get_submodule(name)
        return [m.dilation[0] for m in block.modules() if isinstance(m, nn.Conv2d)][:2]

    assert [dilations(name) for name in ("b4_5", "b5", "b5_1", "b5_2")] == [
        [1, 1],
        [1, 2],
        [2, 2],
        [2, 2],
    ]
    assert [dilations(name)[1] for name in ("b6", "b7")] == [4, 4]
    drops = [m.p for m in empty.modules() if isinstance(m, nn.Dropout2d)]
    assert drops == [0.3, 0.3, 0.5, 0.5]


def test_the_first_blocks_and_all_norms_are_frozen(empty: ResNet38) -> None:
    trained = {name.partition(".")[0] for name, p in empty.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in empty.named_children()} - {
        *("conv1a", "b2", "b2_1", "b2_2"),
        "bn7",
    }
    empty.train()
    norms = [m for m in empty.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training or m.weight.requires_grad or m.bias.requires_grad for m in norms)
    assert empty.b6.dropout_2b1.training
    with torch.device("meta"):
        free = ResNet38(frozen=False).train()
    assert all(p.requires_grad for p in free.parameters())
    assert free.bn7.training


def _randomise(block: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*block.parameters(), *block.buffers()):
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)


@pytest.mark.parametrize(
    ("channels", "stride", "shortcut"), [((4, 4, 4), 1, False), ((4, 6, 8), 2, True)]
)
def test_a_residual_block_adds_input_or_a_projection_of_the_activated_input(
    channels: tuple[int, int, int], stride: int, shortcut: bool
) -> None:
    block = Residual(channels, stride, (1, 2)).eval()
    _randomise(block, 1)
    maps = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    norm, second = block.bn_branch2a, block.bn_branch2b1

    def normed(found: Tensor, by: nn.BatchNorm2d) -> Tensor:
        mean, var = by.running_mean[:, None, None], by.running_var[:, None, None]
        scaled = (found - mean) / (var + by.eps).sqrt()
        return (scaled * by.weight[:, None, None] + by.bias[:, None, None]).clamp(min=0)

    active = normed(maps, norm)
    inside = nn.functional.conv2d(active, block.conv_branch2a.weight, None, stride, 1)
    branch = nn.functional.conv2d(
        normed(inside, second), block.conv_branch2b1.weight, None, 1, 2, 2
    )
    beside = maps
    if shortcut:
        beside = nn.functional.conv2d(active, block.conv_branch1.weight, None, stride)
    assert (block.conv_branch1 is not None) == shortcut
    torch.testing.assert_close(block(maps), beside + branch)


def test_a_bottleneck_has_a_quarter_and_a_half_of_its_channels_inside() -> None:
    block = Bottleneck(8, 16, 0.3).eval()
    shapes = [tuple(m.weight.shape) for m in block.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(4, 8, 1, 1), (8, 4, 3, 3), (16, 8, 1, 1), (16, 8, 1, 1)]
    maps = torch.randn(1, 8, 6, 6)
    active = block.bn_branch2a(maps).relu()
    block.conv_branch2b2.weight.data.zero_()
    torch.testing.assert_close(block(maps), block.conv_branch1(active))


def test_weights_that_do_not_fit_are_refused_and_the_published_format_is_told_of(
    tmp_path: Path,
) -> None:
    with pytest.raises(WeightsError, match="mxnet's format and cannot be downloaded"):
        open_trunk("resnet38")
    with pytest.raises(WeightsError, match="a seed is a whole number"):
        open_trunk("resnet38", "random:x")
    with pytest.raises(EncoderError, match="output stride of 8, not 16"):
        open_trunk("resnet38", "random:0", output_stride=16)
    save_file({"conv1a.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match="does not hold the weights of this ResNet38: missing"):
        open_trunk("resnet38", str(tmp_path / "part.safetensors"))


@pytest.mark.slow
def test_weights_of_a_file_with_a_classifier_are_taken_and_only_the_last_tap_is_activated(
    tmp_path: Path,
) -> None:
    drawn = open_trunk("resnet38", "random:3").trunk
    tensors = {f"module.{key}": found for key, found in drawn.state_dict().items()}
    tensors["module.fc8.weight"] = torch.zeros(21, 4096, 1, 1)
    save_file(tensors, tmp_path / "whole.safetensors")
    opened = open_trunk("resnet38", str(tmp_path / "whole.safetensors"))
    assert opened.architecture == "resnet38"
    assert (opened.mean, opened.std) == ((0.0,) * 3, (1.0,) * 3)
    assert opened.trunk.frozen
    pixels = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        taps = opened.trunk(pixels)
        for mine, theirs in zip(taps, drawn(pixels), strict=True):
            assert torch.equal(mine, theirs)
    raw, later, last = taps
    assert (raw < 0).any()
    assert (later < 0).any()
    assert (last >= 0).all()
