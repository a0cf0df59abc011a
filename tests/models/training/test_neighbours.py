"""Nearest neighbours in the middle of training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.data import PatchDataset, SlideInfo
from models.encoders import Encoder
from models.training.neighbours import Neighbours, choose_rows
from tests.models.probe.planted import card
from tests.models.training.test_loop import Brightness


def slides(*splits: str) -> tuple[SlideInfo, ...]:
    return tuple(SlideInfo(f"s{i}", f"p{i // 2}", "", "", one) for i, one in enumerate(splits))


class ByIndex(nn.Module):
    """Embeds a patch as its mean colour."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def tap(network: Any, images: Tensor) -> Tensor:
    found: Tensor = network(images)
    return found


def test_the_manifests_train_teaches_and_its_val_is_judged() -> None:
    labels = np.array([0, 1, -1, 0, 1, 1])
    slide_of = np.array([0, 0, 0, 1, 1, 2])
    found = choose_rows(slides("train", "val", "test"), slide_of, labels, seed=0)
    assert found is not None
    assert [rows.tolist() for rows in found] == [[0, 1], [3, 4]]


def test_without_splits_no_patient_is_on_both_sides() -> None:
    slide_of = np.repeat(np.arange(12), 5)
    labels = np.tile([0, 1, 2, 0, 1], 12)
    known = slides(*[""] * 12)
    found = choose_rows(known, slide_of, labels, seed=4)
    assert found is not None
    patients = [{known[slide_of[row]].patient for row in rows} for rows in found]
    assert not patients[0] & patients[1]
    assert len(patients[0]) == 4
    assert len(patients[1]) == 2  # a quarter of six, rounded


def test_test_patches_are_never_touched() -> None:
    slide_of, labels = np.repeat(np.arange(8), 3), np.tile([0, 1, 0], 8)
    found = choose_rows(slides(*["test", ""] * 4), slide_of, labels, seed=1)
    assert found is not None
    touched = np.concatenate(found)
    assert not (slide_of[touched] % 2 == 0).any()


def test_without_classes_there_is_nothing_to_judge() -> None:
    assert choose_rows(slides("", ""), np.array([0, 1]), None, seed=0) is None
    table = np.zeros((2, 3), np.int8)
    assert choose_rows(slides("", ""), np.array([0, 1]), table, seed=0) is None
    unknown = np.array([-1, -1])
    assert choose_rows(slides("", ""), np.array([0, 1]), unknown, seed=0) is None


def test_the_score_is_the_share_of_neighbours_classes_that_a_loop_finds(archive: Path) -> None:
    data = PatchDataset(str(archive))
    labels = data.labels
    assert labels is not None
    teach, judged = np.arange(0, 24, 2), np.arange(1, 24, 2)
    found = Neighbours(data, labels, teach, judged)
    encoder = Encoder(ByIndex(), tap, card("colour", 3, input_px=32)).eval()
    pixels = data.__getitems__(np.arange(24)).pixels
    rows = encoder(encoder.prepare(pixels)).double()
    unit = rows / rows.norm(dim=1, keepdim=True)
    hits = {int(name): [] for name in np.unique(labels[judged])}
    for one in judged:
        votes = np.zeros(3)
        for other in teach:  # fewer than 20: all of them vote
            votes[labels[other]] += np.exp(float(unit[one] @ unit[other]) / 0.07)
        hits[int(labels[one])].append(votes.argmax() == labels[one])
    assert found.score(encoder) == np.mean([np.mean(one) for one in hits.values()])


def test_training_goes_on_as_it_was_and_epochs_between_have_no_score(archive: Path) -> None:
    data = PatchDataset(str(archive))
    assert data.labels is not None
    judge = Neighbours(data, data.labels, np.arange(12), np.arange(12, 24), every=2)
    method = Brightness().train()
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    assert judge(method, 0) is None
    assert judge(method, 1) is not None
    assert method.training
    assert all(torch.equal(before[name], tensor) for name, tensor in method.state_dict().items())
