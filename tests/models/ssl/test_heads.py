import pytest
import torch
from torch import nn

from models.ssl.heads import (
    drawn_from,
    family_of,
    moco_predictor,
    moco_projector,
    simclr_projector,
)
from tests.models.ssl.tiny import encoder


def _described(head: nn.Sequential) -> list[str]:
    return [
        {
            nn.Linear: lambda m: f"{m.in_features}>{m.out_features}{'+b' * (m.bias is not None)}",
            nn.BatchNorm1d: lambda m: f"bn{m.num_features}{'+affine' * m.affine}",
            nn.ReLU: lambda m: "relu",
        }[type(module)](module)
        for module in head
    ]


def test_mocos_heads_for_transformers_are_those_of_the_table() -> None:
    with torch.device("meta"):
        projector = moco_projector(768, 4096, 256, "transformer")
        predictor = moco_predictor(4096, 256, "transformer")
    first, second = ["768>4096", "bn4096+affine", "relu"], ["4096>4096", "bn4096+affine", "relu"]
    assert _described(projector) == [*first, *second, "4096>256", "bn256"]
    assert _described(predictor) == ["256>4096", "bn4096+affine", "relu", "4096>256", "bn256"]


def test_mocos_heads_for_resnets_are_those_of_the_table() -> None:
    with torch.device("meta"):
        projector = moco_projector(2048, 4096, 256, "resnet")
        predictor = moco_predictor(4096, 256, "resnet")
    assert _described(projector) == ["2048>4096", "bn4096+affine", "relu", "4096>256", "bn256"]
    assert _described(predictor) == ["256>4096", "bn4096+affine", "relu", "4096>256"]


def test_simclrs_heads_have_two_layers() -> None:
    plain, norm = simclr_projector(512, 128, "plain"), simclr_projector(512, 128, "bn")
    assert _described(plain) == ["512>512+b", "relu", "512>128+b"]
    assert _described(norm) == ["512>512", "bn512+affine", "relu", "512>128", "bn128"]


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("timm:resnet50", "resnet"),
        ("timm:wide_resnet50_2", "resnet"),
        ("timm:swin_tiny_patch4_window7_224", "transformer"),
        ("ctranspath-swin-tiny", "transformer"),
        ("vit-small-16-moco", "transformer"),
        ("timm:convnext_tiny", "transformer"),
    ],
)
def test_the_architectures_name_says_which_heads_fit(architecture: str, family: str) -> None:
    given = encoder()
    given.card = given.card.model_copy(update={"architecture": architecture})
    assert family_of(given) == family


def test_a_seed_gives_the_same_weights_and_leaves_torchs_stream() -> None:
    found = []
    for seed in (3, 3, 4):
        with drawn_from(seed):
            found.append(simclr_projector(8, 4, "plain")[0].weight)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with drawn_from(1):
        simclr_projector(8, 4, "plain")
    assert torch.equal(torch.rand(3), expected)
