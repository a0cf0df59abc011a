"""DISTL as the loop trains it: rounds on unlabelled patches with corrections, or labels alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.dist import gather, world_size
from models.distilling.branch import Branch, Seen
from models.distilling.flexible import still
from models.distilling.settings import DistlSettings
from models.errors import LabelsError
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
from models.ssl.momentum import follow, momentum_at, twin_of
from models.ssl.views import require_views
from models.training.method import Clock, Learner, StepLoss, Views

VIEWS = 10
GLOBAL = 2
"""The patch itself and one large crop; the teacher sees these, the student all."""


class Prepared(NamedTuple):
    """What the teacher said of a step.

    Attributes:
        targets: of self-supervision per micro-batch, (2, b, K); none where there is none.
        labels: soft pseudo-labels per micro-batch, (b, C); none where there are none.
        centre: that the next step has, (K,); None where it stays.
        momentum: m of this step; None where the teacher stays.
    """

    targets: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    centre: Tensor | None
    momentum: float | None


class Distl(Learner):
    """Self-evolving distillation.

    Park, Kim, Oh, Seo, Lee, Kim, Moon, Lim, Park, Ye, Self-evolving vision transformer for chest
    X-ray diagnosis through knowledge distillation, Nature Communications 13:3848, 2022, arXiv
    2202.06431; METHODS 8.4. On unlabelled patches, with lambda = .5 and w(e) = 2 (e + 1) / E:

        L = lambda L_DINO + (1 - lambda) w(e) L_ST      while e < ssl_epochs, then w(e) L_ST

    and on labelled ones the same with the labels in place of the teacher's and without w. The
    teacher sees the patch itself (view 0) and the large crop (view 1); its class probabilities of
    view 0 are the labels of the student's view 1. It follows the student after every step on
    unlabelled patches, and the centre of its outputs after every step.

    Differs from the paper: several classes, with binary cross-entropy each or soft cross-entropy;
    views that no loss asks for are not looked at (both our choice). Where self-training is left
    out, lambda L_DINO stands alone, and without self-supervision the later form stands throughout.

    Args:
        student: is trained.
        teacher: follows it; None begins as a copy of the student.
        settings: of the method.
        target: what labels are.
        initial: learn from labels alone, all steps: the initial model, or a supervised one.

    Attributes:
        student, teacher: networks with both heads.
        centre: c, of the teacher's outputs.
    """

    exact_accumulation: ClassVar[bool] = True

    def __init__(
        self,
        student: Branch,
        teacher: Branch | None,
        settings: DistlSettings,
        target: Target,
        *,
        initial: bool = False,
    ) -> None:
        super().__init__()
        self.settings, self.target, self.initial = settings, target, initial
        self.student = student
        self.teacher = twin_of(student if teacher is None else teacher)
        still(self.teacher)
        self.register_buffer("centre", torch.zeros(settings.prototypes))
        if self.views == GLOBAL:
            self.student.dino.requires_grad_(requires_grad=False)

    @property
    def views(self) -> int:
        """How many views it looks at: the two whole ones where local ones teach nothing."""
        return GLOBAL if self.initial or not self.settings.distils(0) else VIEWS

    @torch.no_grad()
    def begin_step(self, micro: Sequence[Views], clock: Clock) -> Prepared:
        """Ask the teacher about all micro-batches, before anything moves."""
        for views in micro:
            require_views(views, self.views)
        momentum = None
        if clock.between is None:
            momentum = momentum_at(clock.progress, self.settings.momentum, "cosine")
        distils, teaches = self._distils(clock), self._teaches(clock)
        if not (distils or teaches):
            return Prepared((), (), None, momentum)
        stands = nullcontext() if clock.between is None else _unmoved(self.teacher)
        with stands:  # in a correction, METHODS 8: not even the statistics of its norms move
            seen = [self._asked(views, distils=distils) for views in micro]
        labels = [soft_labels(one.logits[: len(one.embedded)], self.target) for one in seen]
        targets, centre = self._targets(seen) if distils else ((), None)
        return Prepared(targets, tuple(labels) if teaches else (), centre, momentum)

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give the loss of a micro-batch."""
        distils, count = self._distils(clock), len(views.patch)
        whole = views.images[:GLOBAL] if distils else views.images[1:GLOBAL]
        local = views.images[GLOBAL:] if distils else ()
        seen: Seen = self.student(whole, local, distils=distils)
        large = seen.logits[-count:]  # of view 1
        loss, metrics = large.new_zeros((), dtype=torch.float32), {}
        if distils:
            targets, heat = prepared.targets[number], self.settings.student_temperature
            found = distil_views(seen.outputs, targets, heat)  # type: ignore[arg-type]  # was asked
            metrics["self_supervision"] = found.detach()
            loss = loss + self._share(clock) * found
        if self._is_labelled(clock):
            found = self._labelled(large, views)
            metrics["labels"] = found.detach()
            loss = loss + (1 - self._share(clock)) * found
        elif self._teaches(clock):
            found = label_loss(large, prepared.labels[number], self.target)
            metrics["self_training"] = found.detach()
            weight = (1 - self._share(clock)) * ramp(clock.epoch, clock.epochs)
            loss = loss + weight * found
        if world_size() > 1:  # every parameter must hear of every step there
            loss = loss + 0.0 * sum(p.sum() for p in self._idle(clock) if p.requires_grad)
        return StepLoss(loss, metrics, seen.embedded.detach())

    def end_gradients(self, clock: Clock) -> None:
        """Leave out what this step does not train, and clip each parameter by itself."""
        for parameter in self._idle(clock):
            parameter.grad = None
        if clock.epoch < self.settings.freeze_epochs:
            self.student.dino.last.weight.grad = None
        clip_each([p.grad for p in self.parameters() if p.grad is not None], self.settings.clip)

    @torch.no_grad()
    def end_step(self, prepared: Any, clock: Clock) -> None:
        """Move the centre, and after a step of the run's own the teacher."""
        del clock
        if prepared.centre is not None:
            self.get_buffer("centre").copy_(prepared.centre)
        if prepared.momentum is not None:
            follow(self.teacher, self.student, prepared.momentum)

    def _is_labelled(self, clock: Clock) -> bool:
        return self.initial or clock.between is not None

    def _distils(self, clock: Clock) -> bool:
        return not self.initial and self.settings.distils(clock.epoch)

    def _teaches(self, clock: Clock) -> bool:
        return not self._is_labelled(clock) and self.settings.self_training

    def _share(self, clock: Clock) -> float:
        """Give lambda, or 0 where self-supervision is left out or has ended."""
        return self.settings.weight if self._distils(clock) else 0.0

    def _idle(self, clock: Clock) -> list[nn.Parameter]:
        """Give what this step's loss does not depend on."""
        found: list[nn.Parameter] = []
        if not self._distils(clock):
            found += self.student.dino.parameters()
        if not (self._is_labelled(clock) or self._teaches(clock)):
            found += self.student.classes.parameters()
        return found

    def _asked(self, views: Views, *, distils: bool) -> Seen:
        whole = views.images[: GLOBAL if distils else 1]
        seen: Seen = self.teacher(whole, distils=distils)
        return seen

    def _targets(self, seen: Sequence[Seen]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Give the targets by the present centre, and the centre after this step."""
        settings, centre = self.settings, self.get_buffer("centre")
        outputs = [one.outputs.float() for one in seen if one.outputs is not None]
        targets = tuple(sharpen(one, centre, settings.teacher_temperature) for one in outputs)
        mine = torch.stack([one.mean(dim=(0, 1)) for one in outputs]).mean(dim=0, keepdim=True)
        mean = gather(mine).mean(dim=0)
        return targets, move_centre(centre, mean, settings.centre_momentum)

    def _labelled(self, logits: Tensor, views: Views) -> Tensor:
        if views.label is None:
            raise LabelsError("a correction needs labels, and these patches have none")
        targets, known = hard_labels(views.label, self.target, logits.shape[1])
        return label_loss(logits, targets, self.target, known)


@contextmanager
def _unmoved(network: nn.Module) -> Iterator[None]:
    """Put buffers back at the end of the block: means and variances that passes move."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    yield
    for name, buffer in network.named_buffers():
        buffer.copy_(before[name])


def clip_each(gradients: list[Tensor], most: float) -> None:
    """Scale each gradient to a norm of `most`, where it is longer (METHODS 8.4, source)."""
    if not gradients:
        return
    lengths = torch.stack(list(torch._foreach_norm(gradients)))
    factors = (most / (lengths + 1e-6)).clamp(max=1)  # as DINO has it
    torch._foreach_mul_(gradients, list(factors.unbind()))
