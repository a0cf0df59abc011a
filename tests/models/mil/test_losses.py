"""Losses and class weights, by hand and by torchmil's choice of patches."""

import math

import pytest
import torch
from sklearn.metrics import hinge_loss
from torch import nn
from torch.nn import functional

from models.errors import LabelsError
from models.mil.losses import (
    InstanceTask,
    class_weights,
    instance_loss,
    smooth_top1_svm,
    weighted_cross_entropy,
)

PATCHES, HIDDEN = 20, 5


def test_class_weights_are_those_computed_by_hand() -> None:
    # 6 bags of 3 classes: 6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1)
    weights = class_weights([0, 0, 0, 1, 1, 2], 3)
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 1.0, 2.0]))


def test_the_mean_weight_of_a_bag_is_one() -> None:
    labels = [0] * 7 + [1] * 2
    weights = class_weights(labels, 2)
    assert weights[labels].mean() == pytest.approx(1)


def test_a_class_without_bags_has_no_weight() -> None:
    with pytest.raises(LabelsError, match=r"no bag to train on has class \[1\]"):
        class_weights([0, 0, 2], 3)


def test_weights_count_with_one_bag_per_step() -> None:
    logits, label = torch.tensor([[0.2, -0.4]]), torch.tensor([1])
    expected = 3.0 * -math.log(math.exp(-0.4) / (math.exp(0.2) + math.exp(-0.4)))
    found = weighted_cross_entropy(logits, label, torch.tensor([1.0, 3.0]))
    assert float(found) == pytest.approx(expected)


def test_the_smooth_svm_is_the_formula_written_out() -> None:
    scores = torch.tensor([[0.5, -0.2, 0.1], [1.5, 2.0, -1.0]])
    total = 0.0
    for row, label in zip(scores.tolist(), (0, 1), strict=True):
        powers = [math.exp((s + (j != label) - row[label]) / 0.5) for j, s in enumerate(row)]
        total += 0.5 * math.log(sum(powers))
    assert float(smooth_top1_svm(scores, torch.tensor([0, 1]), tau=0.5)) == pytest.approx(total / 2)


def test_the_smooth_svm_becomes_the_hinge_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    # the multi-class hinge loss of Crammer and Singer, as scikit-learn has it
    expected = hinge_loss(labels.numpy(), scores.numpy(), labels=[0, 1, 2])
    assert float(smooth_top1_svm(scores, labels, tau=1e-4)) == pytest.approx(expected, abs=1e-3)


def _parts(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, nn.ModuleList]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(PATCHES, HIDDEN, generator=generator)
    attention = torch.rand(1, PATCHES, generator=generator)
    heads = nn.ModuleList(nn.Linear(HIDDEN, 2) for _ in range(2))
    return hidden, attention, heads


class _CrossEntropy(nn.Module):
    """Of targets as torchmil gives them, (n, 1) and float."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, targets.squeeze(-1).long())


def test_the_instance_loss_takes_the_patches_that_torchmil_takes() -> None:
    from torchmil.models import CLAM_SB

    hidden, attention, heads = _parts()
    theirs = CLAM_SB(in_shape=(HIDDEN,), att_dim=4, k_sample=8)
    theirs.inst_loss_fn = _CrossEntropy()
    inside, _, _ = theirs.inst_eval(attention[0], hidden, heads[1])
    outside, _, _ = theirs.inst_eval_out(attention[0], hidden, heads[0])
    found = instance_loss(hidden, attention, 1, heads, InstanceTask(8))
    torch.testing.assert_close(found, (inside + outside) / 2)
    alone = instance_loss(hidden, attention, 1, heads, InstanceTask(8, subtyping=False))
    torch.testing.assert_close(alone, inside)


def test_each_class_has_its_own_attention_where_there_are_branches() -> None:
    hidden, _, heads = _parts()
    attention = torch.stack([torch.arange(PATCHES), -torch.arange(PATCHES)]).float()
    found = instance_loss(hidden, attention, 0, heads, InstanceTask(2))
    own = functional.cross_entropy(heads[0](hidden[[19, 18, 0, 1]]), torch.tensor([1, 1, 0, 0]))
    other = functional.cross_entropy(heads[1](hidden[[0, 1]]), torch.tensor([0, 0]))
    torch.testing.assert_close(found, (own + other) / 2)


@pytest.mark.parametrize(("patches", "used"), [(1, 0), (2, 1), (5, 2), (15, 7), (16, 8), (40, 8)])
def test_small_bags_use_at_most_half_of_their_patches_at_each_end(patches: int, used: int) -> None:
    seen: list[int] = []

    class Head(nn.Linear):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            seen.append(len(rows))
            return super().forward(rows)

    heads = nn.ModuleList([Head(HIDDEN, 2), Head(HIDDEN, 2)])
    attention = torch.rand(1, patches, generator=torch.Generator().manual_seed(0))
    loss = instance_loss(torch.ones(patches, HIDDEN), attention, 0, heads, InstanceTask(8))
    assert seen == ([2 * used, used] if used else [])
    assert torch.isfinite(loss)
