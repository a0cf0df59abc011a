"""Stage 1: which classes a patch holds, and how that is learned (METHODS 10.2, 10.3)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.dist import gather, world_size
from models.errors import LabelsError
from models.losses.precision import full_precision
from models.segmentation.pda import PDA, PdaName, attention
from models.segmentation.trunk import Trunk
from models.ssl.heads import drawn_from
from models.ssl.views import require_views
from models.training.method import Clock, Learner, StepLoss, Views

UNKNOWN = -1
"""Label of a class that nobody said to be there or not; it does not count."""
DROPOUT = 0.5
LIKELY = 0.5
"""Probability above which a class counts as found (source)."""
HEAD_TIMES = 10.0
"""What the rate of the head is multiplied with (source)."""


class Classifier(nn.Module):
    """A trunk with a linear classifier on the mean of its last map.

    Dropout2d, mean over all places, 1x1 convolution without a bias (METHODS 10.2).

    Attributes:
        trunk: gives the maps.
        fc8: the classifier, weights (C, D, 1, 1), drawn after Glorot (source).
    """

    def __init__(self, trunk: Trunk, classes: int, *, seed: int = 0) -> None:
        super().__init__()
        if classes < 1:
            raise LabelsError(f"a classifier needs at least one class, got {classes}")
        self.trunk = trunk
        self.dropout = nn.Dropout2d(DROPOUT)
        with drawn_from(seed):
            self.fc8 = nn.Conv2d(trunk.channels[-1], classes, 1, bias=False)
            nn.init.xavier_uniform_(self.fc8.weight)

    @property
    def classes(self) -> int:
        """How many classes it tells apart, C."""
        return self.fc8.out_channels

    def forward(self, images: Tensor) -> Tensor:
        """Give logits (B, C) of images (B, 3, H, W)."""
        return self.decide(self.trunk(images)[-1])

    def decide(self, last: Tensor, mu: float | None = None) -> Tensor:
        """Give logits (B, C) of the last map (B, D, h, w).

        Args:
            last: of the trunk.
            mu: of progressive dropout attention; None for none, as at inference.
        """
        if mu is not None:
            last = attention(last, self.fc8.weight.flatten(1), mu) * last
        pooled = self.dropout(last).mean(dim=(2, 3), keepdim=True)
        found: Tensor = self.fc8(pooled).flatten(1)
        return found


class _Counted(NamedTuple):
    """Of a step, per micro-batch on average: known entries of labels, and rows that have any."""

    entries: Tensor
    rows: Tensor


class Classification(Learner):
    """Stage 1: multi-label soft margin loss, with progressive dropout attention.

    Han, Lin, Mai, Wang et al., Multi-Layer Pseudo-Supervision for Histopathology Tissue Semantic
    Segmentation using Patch-level Classification Labels, 2022, arXiv 2110.08048. The loss is the
    mean of the binary cross-entropies of all classes; means are over what is known in the whole
    step, of all ranks and micro-batches. `exact` is the share of patches all of whose known classes
    are right, `jaccard` the mean over patches of found and true classes in common over all of them.

    Differs from the paper: classes that are not known do not count (our choice); a patch without
    classes in which none is found has a Jaccard index of 1 (our choice).

    Args:
        network: is trained.
        pda: schedule of the attention; None for none.
    """

    exact_accumulation: ClassVar[bool] = True

    def __init__(self, network: Classifier, pda: PdaName | None = "code") -> None:
        super().__init__()
        self.network = network
        self.schedule = None if pda is None else PDA[pda]

    def faster(self) -> Mapping[str, float]:
        """Give the head, which learns ten times faster than the trunk (source)."""
        return {"network.fc8": HEAD_TIMES}

    @torch.no_grad()
    def begin_step(self, micro: Sequence[Views], clock: Clock) -> _Counted:
        """Count what is known."""
        del clock
        known = [self._labels(views) != UNKNOWN for views in micro]
        counts = torch.stack([torch.stack([k.sum(), k.any(dim=1).sum()]) for k in known])
        means = gather(counts).sum(dim=0) / (len(micro) * world_size())
        return _Counted(means[0], means[1])

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give the loss of a micro-batch, its part of the step's mean."""
        del number
        require_views(views, 1)
        label = self._labels(views)
        mu = None if self.schedule is None else self.schedule.mu(clock.epoch)
        last = self.network.trunk(views.images[0])[-1]
        logits = self.network.decide(last, mu)
        with full_precision(logits):
            each = functional.binary_cross_entropy_with_logits(
                logits.float(), label.clamp(min=0).float(), reduction="none"
            )
            total = (each * (label != UNKNOWN)).sum()
        least = torch.finfo(torch.float32).tiny  # a step without any label has a loss of 0
        entries, rows = (count.clamp(min=least) for count in prepared)
        exact, jaccard = _agreement(logits.detach(), label)
        metrics = {"exact": exact / rows, "jaccard": jaccard / rows}
        return StepLoss(total / entries, metrics, last.detach().mean(dim=(2, 3)))

    def _labels(self, views: Views) -> Tensor:
        """Give labels int64 (b, C)."""
        if views.label is None:
            raise LabelsError(
                "a tissue classifier needs to know which classes a patch holds, and the archive "
                "has no labels; `microtome import patches` writes them"
            )
        return several_labels(views.label, self.network.classes)


def several_labels(label: Tensor, classes: int) -> Tensor:
    """Give 1, 0 or -1 per class, int64 (N, C), of that or of class indices (N,).

    Raises:
        LabelsError: they are of another number of classes.
    """
    if label.ndim == 1:
        if len(label) and int(label.max()) >= classes:
            raise LabelsError(f"there are {classes} classes, got a label of {int(label.max())}")
        found = functional.one_hot(label.long().clamp(min=0), classes)
        return torch.where(label[:, None] < 0, UNKNOWN, found)
    if label.shape[1:] != (classes,):
        raise LabelsError(f"labels {tuple(label.shape)} are not of {classes} classes")
    return label.long()


def check_labels(label: Tensor, names: Sequence[str]) -> list[str]:
    """Refuse labels that teach nothing, and say what is odd about others.

    Args:
        label: 1, 0 or -1 per class, (N, C), or class indices (N,).
        names: of the C classes.

    Returns:
        One sentence for each class that no patch holds, or all do.

    Raises:
        LabelsError: there are no classes, or no patch is known to hold any.
    """
    if not names:
        raise LabelsError("the patches have no labels; `microtome import patches` writes them")
    found = several_labels(label, len(names))
    held, known = (found == 1).sum(dim=0).tolist(), (found != UNKNOWN).sum(dim=0).tolist()
    if not any(held):
        raise LabelsError(f"none of the {len(found):,} patches is said to hold any class")
    notes = []
    for name, holds, of in zip(names, held, known, strict=True):
        if not holds:
            notes.append(f"no patch holds {name}, so it cannot be learned")
        elif holds == of:
            notes.append(f"every patch that is known holds {name}, so it cannot be told apart")
    return notes


def _agreement(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Sum exact matches and Jaccard indices over the rows in which something is known."""
    known, true = label != UNKNOWN, label == 1
    found = (logits.sigmoid() > LIKELY) & known
    counted = known.any(dim=1)
    exact = ((found == true).all(dim=1) & counted).sum()
    both, either = (found & true).sum(dim=1), (found | true).sum(dim=1)
    jaccard = torch.where(either > 0, both / either.clamp(min=1), 1.0)
    return exact, (jaccard * counted).sum()
