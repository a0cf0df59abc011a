"""The losses of DISTL: self-distillation of views, soft pseudo-labels, and their ramp."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from models.losses.precision import full_precision, widen

Target = Literal["binary", "exclusive", "multilabel"]
TARGETS: tuple[Target, ...] = get_args(Target)
RAMP = 2.0
"""Weight of self-training in the last epoch (METHODS 8.4, source)."""


def ramp(epoch: int, epochs: int) -> float:
    """Give w(e) = 2 (e + 1) / E of self-training (METHODS 8.4, source)."""
    return RAMP * (epoch + 1) / epochs


def sharpen(outputs: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """Give the teacher's targets, softmax((t - c) / tau), float32 and without gradient.

    Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin, Emerging Properties in Self-Supervised
    Vision Transformers, ICCV 2021, arXiv 2104.14294, Algorithm 1.

    Args:
        outputs: of the teacher, (..., K).
        centre: c, (K,).
        temperature: tau of the teacher.
    """
    with full_precision(outputs):
        return ((widen(outputs.detach()) - centre) / temperature).softmax(dim=-1)


def distil_views(student: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Give the mean over pairs of a teacher's view i and another view j of the student, i != j.

    CE(targets_i, log-softmax(s_j / tau)), averaged over patches too (METHODS 8.4, source; DINO,
    arXiv 2104.14294, equation (3)). With 2 views of the teacher and 10 of the student these are 18
    pairs.

    Args:
        student: outputs of V views, of which the first are those of the teacher, (V, b, K).
        targets: of T views, rows of sum 1, (T, b, K).
        temperature: tau of the student.

    Returns:
        Scalar, float32.
    """
    with full_precision(student):
        logits = widen(student) / temperature
        own = logits.logsumexp(dim=-1)  # (V, b)
        # sums of each row of the targets are 1: CE = LSE(s) - <target, s>
        shared = torch.einsum("tbk,vbk->tvb", targets, logits)
        terms = (own - shared).mean(dim=2)  # (T, V)
        other = ~torch.eye(len(targets), len(student), dtype=torch.bool, device=student.device)
        return terms[other].mean()


def move_centre(centre: Tensor, mean: Tensor, momentum: float) -> Tensor:
    """Give c <- m c + (1 - m) batch mean, (K,)."""
    return centre.lerp(mean.to(centre.dtype), 1 - momentum)


def soft_labels(logits: Tensor, target: Target) -> Tensor:
    """Give the teacher's soft pseudo-labels, with no threshold and no gradient, (b, C).

    Sigmoid per class, or the softmax where one class excludes the others (our choice).
    """
    with full_precision(logits):
        found = widen(logits.detach())
        return found.softmax(dim=1) if target == "exclusive" else found.sigmoid()


def hard_labels(labels: Tensor, target: Target, classes: int) -> tuple[Tensor, Tensor]:
    """Turn stored labels into what `label_loss` learns; gives targets and which of them are known.

    Args:
        labels: class of each patch, (b,), or 1 and 0 per class, (b, C); -1 unknown.
        target: binary takes class 1 for positive.
        classes: C of the head: 1 for binary.

    Returns:
        float32 targets and bool mask, both (b, C).
    """
    if target == "multilabel":
        return labels.clamp(min=0).float(), labels >= 0
    known = (labels >= 0)[:, None].expand(-1, classes)
    if target == "binary":
        return (labels == 1)[:, None].float(), known
    return functional.one_hot(labels.clamp(min=0).long(), classes).float(), known


def label_loss(
    logits: Tensor, targets: Tensor, target: Target, known: Tensor | None = None
) -> Tensor:
    """Give the mean loss of class logits against hard or soft labels, a scalar in float32.

    Binary cross-entropy per class (METHODS 8.4, source, with one class); soft cross-entropy where
    one class excludes the others (our choice). What is not known is left out; 0 where nothing is.

    Args:
        logits: of the student, (b, C).
        targets: in [0, 1], (b, C).
        target: what labels are.
        known: mask, (b, C); None knows all.
    """
    with full_precision(logits):
        found = widen(logits)
        mask = torch.ones_like(targets, dtype=torch.bool) if known is None else known
        if target == "exclusive":
            each = -(targets * found.log_softmax(dim=1)).sum(dim=1)
            mask = mask[:, 0]
        else:
            each = functional.binary_cross_entropy_with_logits(found, targets, reduction="none")
        return torch.where(mask, each, 0).sum() / mask.sum().clamp(min=1)
