"""Fine-tuning with few annotated volumes, alone and together, and its Dice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import LabelsError
from models.federated.slices import OUTSIDE, Slices, read_slices
from models.federated.tuning import (
    TuneSettings,
    dice_of,
    loss_of,
    new_unet,
    tune_locally,
    tune_together,
)
from tests.models.federated.small import SIDE

QUICK = TuneSettings(classes=2, steps=4, rounds=2, batch=4, lr=1e-3)


def quiet(share: float) -> None:
    del share


def slices(archive: Path, *names: str) -> Slices:
    return read_slices(str(archive), names, SIDE)


def test_it_learns_to_find_the_ball_in_volumes_that_it_did_not_see(volumes: Path) -> None:
    settings = replace(QUICK, steps=120, lr=1e-2)
    unet = new_unet(None, settings, 2)
    unseen = slices(volumes, "b0")
    before = dice_of(unet, unseen, 2).item()
    tune_locally(unet, slices(volumes, "a0", "a1"), settings, "a", quiet)
    assert dice_of(unet, unseen, 2).item() > max(0.8, before)


def test_one_site_in_one_round_is_local_fine_tuning(volumes: Path) -> None:
    settings, own = replace(QUICK, rounds=1), slices(volumes, "a0")
    alone = tune_locally(new_unet(None, settings, 2), own, settings, "a", quiet)
    together = tune_together(new_unet(None, settings, 2), {"a": own}, settings, quiet)
    for one, other in zip(alone.state_dict().values(), together.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_sites_that_train_together_have_one_model_and_all_change_it(volumes: Path) -> None:
    own = {"a": slices(volumes, "a0"), "b": slices(volumes, "b0")}
    told: list[float] = []
    both = tune_together(new_unet(None, QUICK, 2), own, QUICK, told.append)
    again = tune_together(new_unet(None, QUICK, 2), dict(reversed(own.items())), QUICK, quiet)
    one = tune_together(new_unet(None, QUICK, 2), {"a": own["a"]}, QUICK, quiet)
    assert torch.equal(both.head.weight, again.head.weight)
    assert not torch.equal(both.head.weight, one.head.weight)
    assert told == [0.5, 1.0]


def test_only_the_way_down_comes_from_pretraining(volumes: Path) -> None:
    other = new_unet(None, replace(QUICK, seed=5), 2)
    given = new_unet(other.encoder.state_dict(), QUICK, 2)
    drawn = new_unet(None, QUICK, 2)
    assert torch.equal(given.encoder.centre[0].weight, other.encoder.centre[0].weight)
    assert torch.equal(given.head.weight, drawn.head.weight)


class Said(torch.nn.Module):
    """A network that says what it was told to say."""

    def __init__(self, masks: torch.Tensor) -> None:
        super().__init__()
        self.one, self.masks, self.at = torch.nn.Parameter(torch.zeros(1)), masks, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        part = self.masks[self.at : self.at + len(images)].long()
        self.at += len(images)
        return torch.nn.functional.one_hot(part, 3).permute(0, 3, 1, 2).float()


def test_dice_is_that_of_loops_over_voxels_of_each_volume() -> None:
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 3, (70, 4, 4)).astype(np.uint8))
    truth[:, 0] = OUTSIDE
    said = torch.from_numpy(rng.integers(0, 3, (70, 4, 4)))
    volume = torch.tensor([0] * 30 + [1] * 40)
    zeros = torch.zeros(70)
    given = Slices(torch.zeros(70, 1, 4, 4), truth, zeros, volume, zeros, ("a", "b"))
    found = dice_of(Said(said), given, 3)  # type: ignore[arg-type]
    for v in range(2):
        for c in (1, 2):
            a = b = both = 0
            for i in range(70):
                for y in range(1, 4):
                    for x in range(4):
                        if volume[i] == v:
                            a += int(truth[i, y, x] == c)
                            b += int(said[i, y, x] == c)
                            both += int(truth[i, y, x] == c and said[i, y, x] == c)
            assert found[v, c - 1] == pytest.approx(2 * both / (a + b))


def test_the_loss_is_that_of_loops_over_pixels() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(2, 4, 3, 3)))
    masks = torch.from_numpy(rng.integers(0, 3, (2, 3, 3)))  # class 3 is missing
    masks[:, 0] = OUTSIDE
    entropy, both, said, true = [], np.zeros(4), np.zeros(4), np.zeros(4)
    for b, y, x in np.ndindex(2, 3, 3):
        if masks[b, y, x] == OUTSIDE:
            continue
        exps = np.exp(logits[b, :, y, x].numpy())
        share, truth = exps / exps.sum(), int(masks[b, y, x])
        entropy.append(-np.log(share[truth]))
        both[truth] += share[truth]
        said += share
        true[truth] += 1
    dice = [1 - 2 * both[c] / (said[c] + true[c]) if true[c] else 0.0 for c in (1, 2, 3)]
    alone = np.mean(entropy)
    assert loss_of(logits, masks, "ce").item() == pytest.approx(alone)
    assert loss_of(logits, masks, "dice-ce").item() == pytest.approx(alone + np.mean(dice))


class Seen(torch.nn.Module):
    """A network that keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.images = torch.nn.Parameter(torch.zeros(1)), list[torch.Tensor]()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.images += list(images)
        return images * self.one + torch.zeros(1, 2, 1, 1)


@pytest.mark.parametrize("bent", [False, True])
def test_slices_that_are_not_bent_are_shown_as_they_are(volumes: Path, bent: bool) -> None:
    own, seen = slices(volumes, "a0"), Seen()
    tune_locally(seen, own, replace(QUICK, bent=bent), "a", quiet)  # type: ignore[arg-type]
    known = [any(torch.equal(one, other) for other in own.images) for one in seen.images]
    assert len(known) == 16
    assert all(known) != bent


def test_a_class_that_a_volume_lacks_is_not_counted_whatever_is_said() -> None:
    empty = torch.zeros(2, 4, 4, dtype=torch.uint8)
    zeros = torch.zeros(2)
    given = Slices(torch.zeros(2, 1, 4, 4), empty, zeros, zeros.long(), zeros, ("a",))
    for said in (empty, empty + 1):
        assert np.isnan(dice_of(Said(said), given, 3)).all()  # type: ignore[arg-type]


def test_rates_fall_to_a_tenth_and_rounds_share_the_steps() -> None:
    settings = TuneSettings(classes=2, steps=10, rounds=3, lr=1.0)
    assert settings.rate(0) == 1.0
    assert settings.rate(10) == pytest.approx(0.1)
    shares = [list(settings.share(i)) for i in range(3)]
    assert [step for share in shares for step in share] == list(range(10))


def test_volumes_without_label_maps_are_refused(volumes: Path) -> None:
    own = slices(volumes, "a0")
    bare = replace(own, masks=torch.full_like(own.masks, OUTSIDE))
    with pytest.raises(LabelsError, match="no volume has a label map"):
        tune_locally(new_unet(None, QUICK, 2), bare, QUICK, "a", quiet)


def test_settings_that_cannot_be_followed_are_refused() -> None:
    with pytest.raises(ValueError, match="a step in every round"):
        TuneSettings(classes=2, steps=2, rounds=3)
