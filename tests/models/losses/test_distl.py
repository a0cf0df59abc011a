"""The losses of DISTL against loops over views, patches and classes."""

import math

import pytest
import torch
from torch import Tensor

from models.losses.distl import (
    Target,
    distil_views,
    hard_labels,
    label_loss,
    move_centre,
    ramp,
    sharpen,
    soft_labels,
)


def _drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _pairs(student: Tensor, targets: Tensor, temperature: float) -> list[float]:
    """Cross-entropy of every pair of different views, one after the other."""
    found = []
    for i in range(len(targets)):
        for j in range(len(student)):
            if i == j:
                continue
            each = []
            for patch in range(student.shape[1]):
                exps = [math.exp(float(s) / temperature) for s in student[j, patch]]
                logs = [math.log(one / sum(exps)) for one in exps]
                told = zip(targets[i, patch].tolist(), logs, strict=True)
                each.append(-sum(t * log for t, log in told))
            found.append(sum(each) / len(each))
    return found


def test_self_supervision_has_18_pairs_and_none_of_a_view_with_itself() -> None:
    student, targets = _drawn(10, 3, 7), _drawn(2, 3, 7, seed=1).softmax(dim=2)
    pairs = _pairs(student, targets, 0.5)
    assert len(pairs) == 18
    found = distil_views(student, targets, 0.5)
    assert found.item() == pytest.approx(sum(pairs) / 18, rel=1e-5)


@pytest.mark.parametrize("view", range(10))
def test_every_view_of_the_student_counts_as_often_as_it_meets_the_teacher(view: int) -> None:
    student, targets = _drawn(10, 3, 7).requires_grad_(), _drawn(2, 3, 7, seed=1).softmax(dim=2)
    distil_views(student, targets, 1.0).backward()
    met = [i for i in range(2) if i != view]
    shares = student.detach()[view].softmax(dim=1)
    expected = sum(shares - targets[i] for i in met) / 18 / 3
    assert student.grad is not None
    torch.testing.assert_close(student.grad[view], expected)


def test_targets_are_centred_sharpened_and_without_gradient() -> None:
    outputs, centre = _drawn(2, 3, 5).requires_grad_(), _drawn(5, seed=1)
    found = sharpen(outputs, centre, 0.04)
    assert not found.requires_grad
    row = [
        (float(t) - float(c)) / 0.04 for t, c in zip(outputs[1, 2].tolist(), centre, strict=True)
    ]
    exps = [math.exp(one - max(row)) for one in row]
    assert found[1, 2].tolist() == pytest.approx([one / sum(exps) for one in exps], rel=1e-4)


def test_the_centre_keeps_nine_tenths() -> None:
    found = move_centre(torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0]), 0.9)
    assert found.tolist() == pytest.approx([1.2, 1.6])


@pytest.mark.parametrize("epochs", [1, 5, 30])
def test_the_ramp_ends_at_2(epochs: int) -> None:
    assert ramp(epochs - 1, epochs) == 2
    assert ramp(0, epochs) == 2 / epochs


def test_labels_are_learned_by_binary_cross_entropy_per_class() -> None:
    logits, targets = _drawn(4, 3), _drawn(4, 3, seed=1).sigmoid()
    each = [
        -t * math.log(1 / (1 + math.exp(-z))) - (1 - t) * math.log(1 / (1 + math.exp(z)))
        for z, t in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True)
    ]
    found = label_loss(logits, targets, "multilabel")
    assert found.item() == pytest.approx(sum(each) / 12, rel=1e-5)


def test_classes_that_exclude_each_other_are_learned_by_soft_cross_entropy() -> None:
    logits, targets = _drawn(4, 3), _drawn(4, 3, seed=1).softmax(dim=1)
    logs = logits.log_softmax(dim=1)
    each = [-sum(float(targets[i, c] * logs[i, c]) for c in range(3)) for i in range(4)]
    found = label_loss(logits, targets, "exclusive")
    assert found.item() == pytest.approx(sum(each) / 4, rel=1e-5)


@pytest.mark.parametrize("target", ["binary", "exclusive", "multilabel"])
def test_what_is_not_known_teaches_nothing(target: Target) -> None:
    classes = 1 if target == "binary" else 2
    given = torch.tensor([[1, -1], [0, 1]]) if target == "multilabel" else torch.tensor([-1, 1])
    logits = _drawn(2, classes).requires_grad_()
    targets, known = hard_labels(given, target, classes)
    label_loss(logits, targets, target, known).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, known)


def test_no_known_label_is_a_loss_of_0() -> None:
    targets, known = hard_labels(torch.tensor([-1, -1]), "binary", 1)
    assert label_loss(_drawn(2, 1), targets, "binary", known).item() == 0


def test_pseudo_labels_are_soft_and_without_gradient() -> None:
    logits = _drawn(3, 2).requires_grad_()
    assert torch.equal(soft_labels(logits, "multilabel"), logits.detach().sigmoid())
    torch.testing.assert_close(soft_labels(logits, "exclusive").sum(dim=1), torch.ones(3))
    assert not soft_labels(logits, "binary").requires_grad


def test_half_precision_is_widened() -> None:
    student, targets = _drawn(10, 3, 7), _drawn(2, 3, 7, seed=1).softmax(dim=2)
    whole = distil_views(student, targets, 0.1)
    half = distil_views(student.bfloat16(), targets, 0.1)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(whole.item(), rel=0.02)
