"""Segmenters by name, and encoders' weights in them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from models.encoders import open_encoder, save_checkpoint
from models.errors import EncoderError, LabelsError, WeightsError
from models.segmentation.network import SegmenterPlan, build_segmenter, load_encoder

SMALL = SegmenterPlan(encoder="resnet18")


def test_deeplab_has_the_rates_strides_and_widths_of_the_method() -> None:
    with torch.device("meta"):
        network = build_segmenter(SegmenterPlan(), 4)
        features = network.encoder(torch.zeros(1, 3, 224, 224))
        logits = network(torch.zeros(1, 3, 224, 224))
    assert tuple(features[-1].shape) == (1, 2048, 14, 14)  # output stride 16
    assert len(network.encoder.layer3) == 23  # ResNet-101
    assert tuple(logits.shape) == (1, 4, 224, 224)
    convs = [m for m in network.decoder.aspp[0].convs.modules() if isinstance(m, nn.Conv2d)]
    assert [m.dilation[0] for m in convs] == [1, 6, 12, 18, 1]
    assert {m.out_channels for m in convs} == {256}
    assert {m.groups for m in convs} == {1}
    assert network.decoder.block1[0].weight.shape == (48, 256, 1, 1)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5]
    ups = [m for m in network.modules() if isinstance(m, nn.Upsample)]
    assert [m.align_corners for m in ups] == [True, True]
    last = [m for m in network.encoder.layer4.modules() if isinstance(m, nn.Conv2d)]
    wide = [m.dilation[0] for m in last if m.kernel_size == (3, 3)]
    assert wide == [2, 2, 2]  # no multi-grid, as the docstring says


@pytest.mark.parametrize(
    ("architecture", "encoder", "options"),
    [
        ("deeplabv3plus", "tu-resnet10t", {}),
        ("Unet", "resnet18", {"decoder_channels": [16, 16, 8, 8, 8]}),
        ("fpn", "mobilenet_v2", {"decoder_pyramid_channels": 16}),
    ],
)
def test_any_architecture_gives_a_logit_per_class_and_pixel(
    architecture: str, encoder: str, options: dict[str, object]
) -> None:
    network = build_segmenter(SegmenterPlan(architecture, encoder, options), 3)
    assert not network.training
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3, 64, 64)


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_own_stream() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, again, other = (build_segmenter(SMALL, 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    pairs = zip(one.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(one.encoder.conv1.weight, other.encoder.conv1.weight)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(EncoderError, match="no segmentation architecture is called 'deeplab'; did"):
        build_segmenter(SegmenterPlan("deeplab"), 4)
    with pytest.raises(EncoderError, match="no encoder is called 'resnet17'; did you mean resnet1"):
        build_segmenter(SegmenterPlan(encoder="resnet17"), 4)
    with pytest.raises(EncoderError, match="cannot build unet on resnet18 with"):
        build_segmenter(SegmenterPlan("unet", "resnet18", {"depth": 9}), 4)
    with pytest.raises(LabelsError, match="at least two classes, got 1"):
        build_segmenter(SMALL, 1)


def test_an_encoder_that_we_trained_is_taken(tmp_path: Path) -> None:
    encoder = open_encoder("resnet18", "random:4")
    save_checkpoint(tmp_path, encoder, encoder.card.model_copy(update={"method": "simclr"}))
    network = build_segmenter(SMALL, 3)
    name, sha256, seen = load_encoder(network, tmp_path)
    assert (name, sha256) == ("encoder.safetensors", encoder.card.weights_sha256)
    assert seen == ("resnet18: encoder.safetensors",)
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours = network.encoder(pixels)[3]  # before the dilated layer
        theirs = encoder.network.forward_intermediates(pixels, indices=[2])[1][0]
    torch.testing.assert_close(ours, theirs)
    timm = build_segmenter(SegmenterPlan(encoder="tu-resnet18"), 3)
    load_encoder(timm, tmp_path)
    assert torch.equal(timm.encoder.model.conv1.weight, encoder.network.conv1.weight)


def test_an_encoder_of_another_network_is_refused(tmp_path: Path) -> None:
    encoder = open_encoder("resnet10t", "random:0")
    save_checkpoint(tmp_path, encoder, encoder.card)
    with pytest.raises(WeightsError, match="does not hold the weights of this ResNetEncoder"):
        load_encoder(build_segmenter(SMALL, 3), tmp_path)
    with pytest.raises(WeightsError, match="there is no weights file"):
        load_encoder(build_segmenter(SMALL, 3), tmp_path / "none.pth")
