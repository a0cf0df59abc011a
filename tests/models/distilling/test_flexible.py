"""Networks of the paper and of ours take whole and local views with the same weights."""

import pytest
import torch

from models.distilling.branch import Branch
from models.distilling.flexible import RATE, still, with_sizes
from models.distilling.method import Distl
from models.encoders import open_encoder
from models.errors import EncoderError
from tests.models.distilling.tiny import settings


@pytest.mark.parametrize(
    ("name", "side", "local"),
    [
        ("vit_tiny_patch16_224", 64, 32),
        ("test_vit", 160, 80),
        ("test_resnet", 64, 24),
        ("vit-small-16-moco", 32, 16),
    ],
)
def test_weights_stay_and_both_sizes_are_taken(name: str, side: int, local: int) -> None:
    plain = open_encoder(name, "random:1", input_px=side)
    ours = with_sizes(plain, (side, local), 0.1).eval()
    images = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), plain(images))
        assert ours(torch.randn(2, 3, local, local)).shape == (2, plain.card.dim)
    assert ours.card == plain.card
    assert {*ours.network.state_dict()} == {*plain.network.state_dict()}


@pytest.mark.parametrize("local", [96, 112])
def test_a_swin_takes_local_views_that_its_windows_do_not_divide(local: int) -> None:
    name = "timm:swin_tiny_patch4_window7_224"
    with torch.device("meta"):
        from timm.models.swin_transformer import SwinTransformer

        from models.distilling.flexible import flexible_network, wrapped
        from models.encoders.choice import output_dim
        from models.encoders.layers import Usual
        from tests.models.probe.planted import card

        known = card(name, 768, architecture=name, input_px=192)
        network = flexible_network(
            known.model_copy(update={"architecture_options": {"img_size": 192}}),
            SwinTransformer,
            0.1,
        )
    assert output_dim(network, Usual(), local) == 768
    assert wrapped(network, known, (192, local)).card.dim == 768


def test_the_published_ctranspath_takes_no_local_views() -> None:
    plain = open_encoder("ctranspath-swin-tiny", "random:1")
    with pytest.raises(EncoderError, match="cannot take views of 112 px beside those of 224 px"):
        with_sizes(plain, (224, 112), 0.1)
    assert with_sizes(plain, (224,), 0.1).card == plain.card


def test_sides_that_a_network_cannot_take_are_refused_in_a_sentence() -> None:
    plain = open_encoder("vit_tiny_patch16_224", "random:1", input_px=64)
    with pytest.raises(EncoderError, match="cannot take views of 40 px beside those of 64 px"):
        with_sizes(plain, (64, 40), 0.1)


def test_depth_is_stochastic_in_the_student_alone() -> None:
    plain = open_encoder("vit_tiny_patch16_224", "random:1", input_px=32)
    student = Branch(with_sizes(plain, (32, 16), 0.5), 1, settings())
    made = Distl(student, None, settings(), "binary").train()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(made.student.encoder(images), made.student.encoder(images))
        assert torch.equal(made.teacher.encoder(images), made.teacher.encoder(images))
    assert any(getattr(m, RATE, 0) for m in made.student.modules())
    still(made.student)
    assert not any(getattr(m, RATE, 0) for m in made.student.modules())
