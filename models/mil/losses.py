"""Losses of bags and of instances, and the weights of classes. Shapes: B bags, C classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import LabelsError

InstanceLoss = Literal["cross-entropy", "svm"]


def class_weights(labels: Sequence[int], classes: int) -> Tensor:
    """Weight classes by their inverse frequency, so that the mean weight of a bag is 1.

    w_c = N / (C n_c) for n_c of N bags.

    Raises:
        LabelsError: a class has no bag.
    """
    counts = np.bincount(np.asarray(labels, np.int64), minlength=classes)
    if (counts == 0).any():
        absent = np.flatnonzero(counts == 0).tolist()
        raise LabelsError(f"no bag to train on has class {absent}; use fewer folds or more bags")
    weights = counts.sum() / (classes * counts)
    return torch.tensor(weights, dtype=torch.float32)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Mean over bags of w_y times the cross-entropy, (B, C) and (B,) -> ().

    Not PyTorch's weighted mean, which divides by the weights of the batch: with one bag per step
    that would undo them.
    """
    each = functional.cross_entropy(logits, labels, reduction="none")
    return (weights[labels] * each).mean()


def smooth_top1_svm(
    scores: Tensor, labels: Tensor, margin: float = 1.0, tau: float = 1.0
) -> Tensor:
    """Smooth top-1 SVM loss, the mean over rows, (B, C) and (B,) -> ().

    tau log sum_j exp((s_j + margin [j != y]) / tau) - s_y. Berrada, Zisserman, Kumar, Smooth Loss
    Functions for Deep Top-k Classification, ICLR 2018, arXiv 1802.07595, equation (7) for k = 1.
    """
    true = functional.one_hot(labels, scores.shape[1]).bool()
    raised = scores + margin * (~true)
    smooth_maximum = tau * torch.logsumexp(raised / tau, dim=1)
    return (smooth_maximum - scores[true]).mean()


INSTANCE_LOSSES: dict[InstanceLoss, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": functional.cross_entropy,
    "svm": smooth_top1_svm,
}


@dataclass(frozen=True, slots=True)
class InstanceTask:
    """CLAM's task for single patches.

    Attributes:
        patches: taken from the top and from the bottom of the attention, B in the paper.
        subtyping: classes exclude each other, so the top patches of one are none of another.
        loss: of a patch.
    """

    patches: int = 8
    subtyping: bool = True
    loss: InstanceLoss = "cross-entropy"


def instance_loss(
    hidden: Tensor,
    attention: Tensor,
    label: int,
    classifiers: nn.ModuleList,
    task: InstanceTask,
) -> Tensor:
    """Give CLAM's instance loss of one bag.

    Lu et al., Data-efficient and weakly supervised computational pathology on whole-slide images,
    Nature Biomedical Engineering 2021, arXiv 2004.09666, section "Instance-level clustering". The
    B patches of highest attention are of the bag's class and the B of lowest are not; with
    subtyping the top B are of no other class, and the mean over classes is taken.

    Differs from the paper: B' = min(B, n // 2), so that small bags work and no patch is on both
    sides; a bag of one patch has no loss.

    Args:
        hidden: patches of the bag, (n, H).
        attention: (A, n), A = 1 for all classes or one row per class.
        label: class of the bag.
        classifiers: one per class, H -> 2.
        task: how many patches, and which loss.
    """
    count = min(task.patches, len(hidden) // 2)
    if count == 0:
        return hidden.sum() * 0.0
    score = INSTANCE_LOSSES[task.loss]
    losses = []
    for number, classifier in enumerate(classifiers):
        row = attention[number if len(attention) > 1 else 0]
        top = hidden[row.topk(count).indices]
        if number == label:
            bottom = hidden[row.topk(count, largest=False).indices]
            targets = torch.arange(2 * count, device=hidden.device).lt(count).long()
            losses.append(score(classifier(torch.cat([top, bottom])), targets))
        elif task.subtyping:
            targets = torch.zeros(count, dtype=torch.long, device=hidden.device)
            losses.append(score(classifier(top), targets))
    return torch.stack(losses).mean()
