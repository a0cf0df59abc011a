"""Networks of timm as trunks."""

from pathlib import Path

import pytest
import timm
import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from models.encoders import open_encoder, save_checkpoint
from models.errors import EncoderError
from models.segmentation.backbone import TimmTrunk, open_trunk


def test_taps_are_the_last_three_maps_of_timm() -> None:
    opened = open_trunk("resnet10t", "random:2")
    trunk = opened.trunk
    assert trunk.taps == ("layer2", "layer3", "layer4")
    assert opened.mean == pytest.approx((0.485, 0.456, 0.406))
    twin = timm.create_model("resnet10t", features_only=True, out_indices=(2, 3, 4)).eval()
    twin.load_state_dict(trunk.network.state_dict())
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for mine, theirs in zip(trunk(pixels), twin(pixels), strict=True):
            assert torch.equal(mine, theirs)
    assert tuple(found.shape[1] for found in twin(pixels)) == trunk.channels


def test_a_stride_makes_larger_maps_of_the_same_weights() -> None:
    plain, fine = (
        open_trunk("resnet10t", "random:2", output_stride=stride) for stride in (None, 8)
    )
    assert fine.options == {"output_stride": 8}
    assert {tuple(tap.shape[2:]) for tap in fine.trunk(torch.rand(1, 3, 64, 64))} == {(8, 8)}
    ours, theirs = plain.trunk.state_dict(), fine.trunk.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_norms_are_frozen_where_weights_are_given(tmp_path: Path) -> None:
    assert not open_trunk("resnet10t", "random:0").trunk.frozen_norms
    encoder = open_encoder("resnet10t", "random:0")
    save_checkpoint(tmp_path, encoder, encoder.card.model_copy(update={"method": "simclr"}))
    trunk = open_trunk(str(tmp_path)).trunk
    assert trunk.frozen_norms
    trunk.train()
    norms = [m for m in trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    before = norms[0].running_mean.clone()
    trunk(torch.rand(2, 3, 64, 64))
    assert torch.equal(norms[0].running_mean, before)
    assert not any(p.requires_grad for m in norms for p in m.parameters())
    assert all(torch.equal(p, trunk.network.state_dict()[k]) for k, p in _weights(encoder))


def test_frozen_norms_stay_frozen_where_several_processes_share_them(tmp_path: Path) -> None:
    encoder = open_encoder("regnetx_002", "random:0")
    save_checkpoint(tmp_path, encoder, encoder.card.model_copy(update={"method": "simclr"}))
    trunk = convert_sync_batchnorm(open_trunk(str(tmp_path)).trunk).train()
    norms = [m for m in trunk.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)


def _weights(encoder: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(encoder.network.state_dict().items())


class _Apart(nn.Module):
    """Maps that do not lead to each other."""

    def forward_intermediates(self, images: torch.Tensor, **_: object) -> list[torch.Tensor]:
        return [images * 1, images * 2, images * 3]


def test_what_has_no_maps_that_lead_to_each_other_is_refused() -> None:
    with pytest.raises(EncoderError, match="Apart has no 3 maps that lead to each other; use a"):
        TimmTrunk(_Apart())
    with pytest.raises(EncoderError, match="VisionTransformer gives no feature maps"):
        open_trunk("vit_tiny_patch16_224", "random:0")
