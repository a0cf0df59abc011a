"""Stage 2: a segmenter learns from several masks of unequal trust, or from true ones."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.dist import gather, world_size
from models.errors import DataError, LabelsError
from models.losses.precision import full_precision
from models.segmentation.settings import NO_MASK
from models.ssl.views import require_views
from models.training.method import Clock, Learner, StepLoss, Views

White = Literal["ignore", "literal"]
LAYER_WEIGHTS = (0.6, 0.2, 0.2)
"""Of the masks of the last layer, the one before and the one before that (source)."""
WHITE_LOGIT = 100.0
"""Of the class that is added at white pixels of the first mask (source)."""
HEAD_TIMES = 10.0
"""What the rate of all but the encoder is multiplied with (source: .1 against .01)."""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """How masks teach (METHODS 10.5).

    Attributes:
        weights: of the masks, in their order: last layer first. One weight for true masks.
        white: ignore leaves background pixels out (our choice); literal adds a class whose logit is
            100 where the first mask is background, else 0, as the source does. The latter pushes
            the true logit of every other pixel above 0.
        divide_by_batch: divide the mean by the batch once more, as the source does: the step is
            then 1/20 of what its rate suggests. Off (our choice), with the rate lowered instead.
    """

    weights: tuple[float, ...] = LAYER_WEIGHTS
    white: White = "ignore"
    divide_by_batch: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no loss."""
        if not self.weights or min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(f"weights of masks must be positive, got {self.weights}")
        if self.white not in ("ignore", "literal"):
            raise ValueError(f"white must be ignore or literal, got {self.white!r}")


SUPERVISED = LossSettings(weights=(1.0,))
"""For true masks: the comparison that the paper makes, with the same network."""


def layered_loss(
    logits: Tensor, masks: Tensor, settings: LossSettings, counts: Tensor | None = None
) -> Tensor:
    """Give the weighted sum of cross-entropies of one prediction with several masks.

    Han et al. 2022, arXiv 2110.08048: L = .6 CE(., bn7) + .2 CE(., b5_2) + .2 CE(., b4_5). Each
    cross-entropy is a mean over the pixels that count.

    Args:
        logits: (B, C, H, W).
        masks: classes, C for background, 255 for no mask, (B, M, H, W).
        settings: weights of the M masks and what becomes of background.
        counts: pixels that each mean is over, (M,); those of these masks by default.

    Raises:
        DataError: masks are of another size, number or number of classes.
    """
    target = _targets(logits, masks, settings)
    if counts is None:
        counts = (target != NO_MASK).sum(dim=(0, 2, 3))
    least = torch.finfo(torch.float32).tiny  # where nothing counts the loss is 0
    with full_precision(logits):
        scores = logits.float()
        if settings.white == "literal":
            scores = _with_white(scores, masks)
        sums = [
            functional.cross_entropy(scores, one, ignore_index=NO_MASK, reduction="sum")
            for one in target.unbind(dim=1)
        ]
        weights = torch.tensor(settings.weights, device=logits.device)
        return (weights * torch.stack(sums) / counts.clamp(min=least)).sum()


class _Counted(NamedTuple):
    """Of a step.

    Attributes:
        pixels: that count of each mask, per micro-batch on average, (M,).
        named: of these in the first mask, pixels of a class that is no background.
        patches: of all ranks and micro-batches together.
    """

    pixels: Tensor
    named: Tensor
    patches: Tensor


class Segmentation(Learner):
    """Stage 2 of METHODS 10: a segmenter on pseudo masks, or on true ones with `SUPERVISED`.

    Han, Lin, Mai, Wang et al., Multi-Layer Pseudo-Supervision for Histopathology Tissue Semantic
    Segmentation using Patch-level Classification Labels, 2022, arXiv 2110.08048. Means are over the
    pixels that count in the whole step, of all ranks and micro-batches. `pixel_accuracy` is with
    the first mask, where that names a class.

    Args:
        network: of `build_segmenter`; is trained.
        classes: C, which is the class of background in masks.
        settings: of the loss.
    """

    exact_accumulation: ClassVar[bool] = True

    def __init__(self, network: nn.Module, classes: int, settings: LossSettings) -> None:
        super().__init__()
        self.network = network
        self.classes = classes
        self.settings = settings

    def faster(self) -> Mapping[str, float]:
        """Give all but the encoder, which learns ten times faster (source)."""
        parts = (name for name, _ in self.network.named_children() if name != "encoder")
        return {f"network.{name}": HEAD_TIMES for name in parts}

    @torch.no_grad()
    def begin_step(self, micro: Sequence[Views], clock: Clock) -> _Counted:
        """Count what the masks of the step say."""
        del clock
        masks = [_masks(views) for views in micro]
        counts = torch.stack([self._counts(one) for one in masks])
        parts = len(micro) * world_size()
        summed = gather(counts).sum(dim=0)
        return _Counted(summed[:-2] / parts, summed[-2] / parts, summed[-1])

    def forward(self, views: Views, prepared: Any, number: int, clock: Clock) -> StepLoss:
        """Give the loss of a micro-batch, its part of the step's mean."""
        del number, clock
        require_views(views, 1)
        masks = _masks(views)
        with _outputs(self.network.get_submodule("encoder")) as encoded:
            logits = self.network(views.images[0])
        loss = layered_loss(logits, masks, self.settings, prepared.pixels)
        if self.settings.divide_by_batch:
            loss = loss / prepared.patches
        right = (logits.detach().argmax(dim=1) == masks[:, 0]).sum()
        metrics = {"pixel_accuracy": right / prepared.named.clamp(min=1)}
        return StepLoss(loss, metrics, encoded[-1].detach().mean(dim=(2, 3)))

    def _counts(self, masks: Tensor) -> Tensor:
        """Count pixels that count in each mask, named ones in the first, and patches, (M + 2,)."""
        skipped = NO_MASK if self.settings.white == "literal" else self.classes
        pixels = ((masks != NO_MASK) & (masks != skipped)).sum(dim=(0, 2, 3))
        named = (masks[:, 0] < self.classes).sum()
        return torch.cat([pixels, named[None], named.new_tensor([len(masks)])])


def _masks(views: Views) -> Tensor:
    if views.masks is None:
        raise LabelsError(
            "a segmenter learns from masks, and the patches have none; "
            "`microtome segment pseudo-masks` makes them from labels"
        )
    return views.masks


def _targets(logits: Tensor, masks: Tensor, settings: LossSettings) -> Tensor:
    """Give targets, int64 (B, M, H, W), in which all that does not count is 255."""
    classes, wanted = logits.shape[1], (len(logits), len(settings.weights), *logits.shape[2:])
    if masks.shape != wanted:
        raise DataError(
            f"masks are {tuple(masks.shape)}, the network's answer needs {wanted}: patches, masks "
            "in the number of the weights, height and width"
        )
    wrong = (masks > classes) & (masks != NO_MASK)
    if wrong.any():
        raise DataError(
            f"masks of {classes} classes hold 0 to {classes - 1}, {classes} for background and "
            f"{NO_MASK} for none, got {int(masks[wrong].max())}"
        )
    target = masks.long()
    if settings.white == "ignore":
        target = torch.where(target == classes, NO_MASK, target)
    return target


def _with_white(logits: Tensor, masks: Tensor) -> Tensor:
    """Append the logit of background: 100 where the first mask has it, else 0, (B, C + 1, H, W)."""
    white = masks[:, :1] == logits.shape[1]
    return torch.cat([logits, WHITE_LOGIT * white.to(logits.dtype)], dim=1)


@contextmanager
def _outputs(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the maps that an encoder gives while it is used, shallowest first."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _given: Any, maps: Any) -> None:
        first = maps[0] if isinstance(maps[0], list | tuple) else maps  # some give tokens too
        found.extend(first)

    handle = encoder.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
