"""Opening encoders by name: which networks, sizes, normalisation, seeds; unknown names."""

import json
import subprocess
import sys

import pytest
import timm
import torch

import models.encoders
from models.encoders import EncoderCard, open_encoder
from models.errors import EncoderError, MismatchError, WeightsError

MINI = "test_resnet"


def test_an_encoder_embeds_prepared_pixels() -> None:
    encoder = open_encoder(MINI, "random:0")
    pixels = torch.randint(0, 256, (3, 160, 160, 3), dtype=torch.uint8)
    with torch.inference_mode():
        vectors = encoder(encoder.prepare(pixels))
    assert vectors.shape == (3, encoder.card.dim)
    assert vectors.isfinite().all()
    assert not encoder.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, same, other = (open_encoder(MINI, f"random:{seed}") for seed in (7, 7, 8))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
    assert first.card == same.card
    assert first.card.weights_sha256 != other.card.weights_sha256
    assert first.card.identity != other.card.identity
    assert (first.card.weights, first.card.method) == ("random:7", "random")


def test_opening_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    open_encoder(MINI, "random:5")
    assert torch.equal(torch.rand(2), expected)


def test_random_weights_are_those_that_timm_draws_after_the_same_seed() -> None:
    opened = open_encoder(MINI, "random:11").network.state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(11)
        drawn = timm.create_model(MINI, num_classes=0).state_dict()
    assert all(torch.equal(opened[name], tensor) for name, tensor in drawn.items())


def test_the_card_holds_what_timm_says_of_the_input() -> None:
    card = open_encoder("test_vit", "random:0").card
    described = timm.get_pretrained_cfg("test_vit")
    assert (card.input_px, card.mean, card.std) == (160, described.mean, described.std)
    assert card.architecture == "timm:test_vit"
    assert card.mpp is None
    assert {"torch", "timm"} <= card.versions.keys()
    assert EncoderCard.model_validate(json.loads(json.dumps(card.document()))) == card


def test_a_tag_chooses_the_normalisation() -> None:
    assert open_encoder("test_vit.r160_in1k", "random:0").card.mean == (0.5, 0.5, 0.5)
    assert open_encoder("timm:test_resnet", "random:0").card.name == "test_resnet"


def test_another_input_size_is_built_and_recorded() -> None:
    encoder = open_encoder("test_vit", "random:0", input_px=64)
    assert encoder.card.input_px == 64
    assert encoder.card.architecture_options == {"img_size": 64}
    assert encoder.network.pos_embed.shape == (1, 17, 64)
    any_size = open_encoder(MINI, "random:0", input_px=64).card
    assert (any_size.input_px, any_size.architecture_options) == (64, {})


@pytest.mark.parametrize(
    ("name", "near"),
    [("restnet18", "resnet18"), ("ctranspth", "ctranspath"), ("uni_v3", "uni_v")],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(EncoderError, match=f"no encoder is called '{name}'; did you mean .*{near}"):
        open_encoder(name, "random:0")


def test_a_name_like_no_other_points_to_the_list() -> None:
    with pytest.raises(EncoderError, match="`microtome encoders` lists them"):
        open_encoder("qqqqqqqqqq", "random:0")


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"no weights called 'resnet18\.nothing'"):
        open_encoder("resnet18.nothing", "random:0")


@pytest.mark.parametrize("seed", ["", "-1", "1.5", "x"])
def test_a_seed_is_a_whole_number(seed: str) -> None:
    with pytest.raises(WeightsError, match="a seed is a whole number, such as random:0"):
        open_encoder(MINI, f"random:{seed}")


def test_weights_that_nobody_serves_must_be_given_as_a_file() -> None:
    with pytest.raises(WeightsError, match=r"github.com/Xiyue-Wang/TransPath.*--weights FILE"):
        open_encoder("ctranspath")
    with pytest.raises(WeightsError, match=r"timm has no weights for resnet50_mlp.*random:SEED"):
        open_encoder("resnet50_mlp")


def test_a_card_refuses_other_patches_unless_forced() -> None:
    card = open_encoder(MINI, "random:0").card.model_copy(update={"mpp": 0.5})
    assert card.require_match(0.5, 160, force=False) == []
    assert card.require_match(0.512, 160, force=False) == []  # within 3 %
    assert card.require_match(None, 160, force=False) == []
    with pytest.raises(MismatchError, match=r"the patches have 0\.25 um/px, .* wants 0\.5"):
        card.require_match(0.25, 160, force=False)
    with pytest.raises(MismatchError, match="the patches have 224 px a side"):
        card.require_match(0.5, 224, force=False)
    assert len(card.require_match(0.25, 224, force=True)) == 2


def test_every_public_name_can_be_imported() -> None:
    for name in models.encoders.__all__:
        assert getattr(models.encoders, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = models.encoders.nothing


def test_cards_and_the_table_are_read_without_torch() -> None:
    code = (
        "import sys; from models.encoders import EncoderCard, known_encoders; known_encoders();"
        "print({'torch', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
