"""ResNet38, the classifier's trunk: 4096 maps at an eighth of the patch's side (METHODS 10.2)."""

from typing import Self

import torch
from torch import Tensor, nn

from models.segmentation.trunk import NORMS, Trunk

TAPS = ("b4_5", "b5_2", "bn7")
CHANNELS = (512, 1024, 4096)
STILL = ("conv1a", "b2", "b2_1", "b2_2")
"""Parts that are never trained (source)."""
BLOCKS: dict[str, tuple[int, int, int, int, int, int]] = {
    "b2": (64, 128, 128, 2, 1, 1),
    "b2_1": (128, 128, 128, 1, 1, 1),
    "b2_2": (128, 128, 128, 1, 1, 1),
    "b3": (128, 256, 256, 2, 1, 1),
    "b3_1": (256, 256, 256, 1, 1, 1),
    "b3_2": (256, 256, 256, 1, 1, 1),
    "b4": (256, 512, 512, 2, 1, 1),
    "b4_1": (512, 512, 512, 1, 1, 1),
    "b4_2": (512, 512, 512, 1, 1, 1),
    "b4_3": (512, 512, 512, 1, 1, 1),
    "b4_4": (512, 512, 512, 1, 1, 1),
    "b4_5": (512, 512, 512, 1, 1, 1),
    "b5": (512, 512, 1024, 1, 1, 2),
    "b5_1": (1024, 512, 1024, 1, 2, 2),
    "b5_2": (1024, 512, 1024, 1, 2, 2),
}
"""Channels in, inside and out; stride; dilation of the first and of the second convolution."""


class Residual(nn.Module):
    """BN-ReLU-conv3x3-BN-ReLU-conv3x3, added to its input or to a 1x1 conv of the activated input.

    Args:
        channels: in, inside and out.
        stride: of the first convolution.
        dilations: of the first and the second.
    """

    def __init__(
        self, channels: tuple[int, int, int], stride: int, dilations: tuple[int, int]
    ) -> None:
        super().__init__()
        given, inside, out = channels
        first, second = dilations
        self.bn_branch2a = nn.BatchNorm2d(given)
        self.conv_branch2a = _conv3(given, inside, stride, first)
        self.bn_branch2b1 = nn.BatchNorm2d(inside)
        self.conv_branch2b1 = _conv3(inside, out, 1, second)
        same = given == out and stride == 1
        self.conv_branch1 = None if same else nn.Conv2d(given, out, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Give (B, out, h / stride, w / stride)."""
        active = self.bn_branch2a(maps).relu()
        shortcut = maps if self.conv_branch1 is None else self.conv_branch1(active)
        inside = self.bn_branch2b1(self.conv_branch2a(active)).relu()
        found: Tensor = shortcut + self.conv_branch2b1(inside)
        return found


class Bottleneck(nn.Module):
    """BN-ReLU-1x1-BN-ReLU-drop-3x3-BN-ReLU-drop-1x1, added to a 1x1 conv of the activated input.

    Args:
        given: channels in.
        out: channels out; out / 4 and out / 2 inside.
        dropout: share of channels that are dropped, twice.
        dilation: of the 3x3 convolution.
    """

    def __init__(self, given: int, out: int, dropout: float, dilation: int = 4) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(given)
        self.conv_branch2a = nn.Conv2d(given, out // 4, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(out // 4)
        self.dropout_2b1 = nn.Dropout2d(dropout)
        self.conv_branch2b1 = _conv3(out // 4, out // 2, 1, dilation)
        self.bn_branch2b2 = nn.BatchNorm2d(out // 2)
        self.dropout_2b2 = nn.Dropout2d(dropout)
        self.conv_branch2b2 = nn.Conv2d(out // 2, out, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(given, out, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Give (B, out, h, w)."""
        active = self.bn_branch2a(maps).relu()
        inside = self.dropout_2b1(self.bn_branch2b1(self.conv_branch2a(active)).relu())
        inside = self.dropout_2b2(self.bn_branch2b2(self.conv_branch2b1(inside)).relu())
        found: Tensor = self.conv_branch1(active) + self.conv_branch2b2(inside)
        return found


class ResNet38(Trunk):
    """Model A1 of Z. Wu, C. Shen, A. van den Hengel, Wider or Deeper, 2016, arXiv 1611.10080.

    As METHODS 10.2 has it for maps: stride 8, dilated from b5 on, no classifier. Names of parts are
    those of the PyTorch files of these weights that go around. Published ImageNet weights are in
    mxnet's own format, which is not read here; give them as safetensors or a state dict.

    Args:
        frozen: conv1a and b2* are not trained, and neither is any batch normalisation, which stays
            as it is in evaluation (source). Without, all is trained: for weights that are drawn
            (our choice).
    """

    def __init__(self, *, frozen: bool = True) -> None:
        super().__init__(TAPS, CHANNELS)
        self.frozen = frozen
        self.conv1a = _conv3(3, 64, 1, 1)
        for name, (given, inside, out, stride, *dilations) in BLOCKS.items():
            first, second = dilations
            self.add_module(name, Residual((given, inside, out), stride, (first, second)))
        self.b6 = Bottleneck(1024, 2048, 0.3)
        self.b7 = Bottleneck(2048, 4096, 0.5)
        self.bn7 = nn.BatchNorm2d(4096)
        if frozen:
            self._freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Give the outputs of b4_5, b5_2, and of bn7 after its ReLU, all at side / 8."""
        found = self.conv1a(images)
        taps = {}
        for name in BLOCKS:
            taps[name] = found = self.get_submodule(name)(found)
        last = self.bn7(self.b7(self.b6(found))).relu()
        return taps[TAPS[0]], taps[TAPS[1]], last

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's signature
        """Train, or not; frozen batch normalisation stays in evaluation."""
        super().train(mode)
        if self.frozen:
            for part in self.modules():
                if isinstance(part, NORMS):
                    part.training = False
        return self

    def _freeze(self) -> None:
        for name in STILL:
            self.get_submodule(name).requires_grad_(requires_grad=False)
        for part in self.modules():
            if isinstance(part, NORMS):
                part.requires_grad_(requires_grad=False)


def draw_resnet38(seed: int) -> ResNet38:
    """Give one with drawn weights, all of them trained; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ResNet38(frozen=False)


def _conv3(given: int, out: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(given, out, 3, stride, padding=dilation, dilation=dilation, bias=False)
