"""Trained stages asked about patches with true masks: the class of every pixel in several ways."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from models.embedding.forward import number_format
from models.errors import MismatchError, ModelError, NumericsError
from models.segmentation.cam import grad_cam
from models.segmentation.classifier import LIKELY, UNKNOWN, Classifier
from models.segmentation.gate import Gate
from models.segmentation.model import TissueModel
from models.segmentation.predict import PUBLISHED, find_presence
from models.segmentation.pseudo import predicted_masks
from models.segmentation.settings import NO_MASK

Way = Literal["cam", "segmenter", "gated"]
"""The maps of stage 1 alone; stage 2 alone; stage 2 with the gate."""
Masks = NDArray[np.uint8]
OPEN = Gate(enabled=False)


@dataclass(frozen=True)
class Stages:
    """What is asked.

    Attributes:
        ways: in which pixels get their class.
        classifier: of stage 1; needed for `cam` and `gated`.
        segmenter: of stage 2; needed for `segmenter` and `gated`.
        gate: of `gated`.

    Raises:
        MismatchError: the two know other classes.
        ValueError: a stage is missing.
    """

    ways: tuple[Way, ...]
    classifier: TissueModel | None = None
    segmenter: TissueModel | None = None
    gate: Gate = PUBLISHED

    def __post_init__(self) -> None:
        """Refuse ways whose stage is missing, and stages that do not belong together."""
        for way in self.ways:
            if way != "segmenter" and self.classifier is None:
                raise ValueError(f"{way} needs a classifier")
            if way != "cam" and self.segmenter is None:
                raise ValueError(f"{way} needs a segmenter")
        if self.classifier is not None and self.segmenter is not None:
            self.segmenter.card.require_classes(
                self.classifier.card.classes, f"the classifier {self.classifier.card.name}"
            )

    @property
    def models(self) -> tuple[TissueModel, ...]:
        """The stages that there are, the one that decides first."""
        return tuple(one for one in (self.segmenter, self.classifier) if one is not None)


class Answers(NamedTuple):
    """What is said of B patches.

    Attributes:
        masks: by way, the class of each pixel, uint8 (B, H, W); C where all classes are removed.
        presence: probability of each class by stage 1, float32 (B, C); None without it.
    """

    masks: Mapping[Way, Masks]
    presence: NDArray[np.float32] | None


class Evaluator:
    """Stages on one device.

    Args:
        stages: are moved there and set to evaluation mode.
        device: where.
        bf16: whether networks run in bf16 autocast; scores of pixels are float32 all the same.
    """

    def __init__(self, stages: Stages, device: torch.device, *, bf16: bool = False) -> None:
        for model in stages.models:
            model.to(device).eval()
        self.stages, self.device, self.bf16 = stages, device, bf16

    def require_side(self, side_px: int) -> None:
        """Refuse patches of a size that a network cannot take.

        Raises:
            MismatchError: a network fails on such a patch, or gives another size.
        """
        blank = torch.zeros((1, side_px, side_px, 3), dtype=torch.uint8, device=self.device)
        for model in self.stages.models:
            told = f"{model.card.name} cannot take patches of {side_px} px"
            try:
                with torch.no_grad(), self._running():
                    found = model(model.prepare(blank))
            except RuntimeError as err:
                raise MismatchError(f"{told}: {err}") from err
            if found.ndim == 4 and found.shape[2:] != (side_px, side_px):
                raise MismatchError(f"{told}: it gives {found.shape[2]} x {found.shape[3]} px")

    def ask(self, pixels: Tensor) -> Answers:
        """Ask about a batch; every network runs once.

        Args:
            pixels: uint8 (B, H, W, 3), on any device.

        Raises:
            NumericsError: a network gave NaN or infinity.
            ModelError: the batch does not fit into the GPU's memory.
        """
        moved = pixels.to(self.device, non_blocking=True)
        try:
            with self._running():
                presence = self._presence(moved)
                masks = self._masks(moved, presence)
                told = None if presence is None else presence.cpu().numpy()
                return Answers({way: mask.cpu().numpy() for way, mask in masks.items()}, told)
        except torch.OutOfMemoryError as err:
            raise ModelError(
                f"{len(pixels)} patches do not fit into the GPU's memory; use a smaller --batch"
            ) from err

    def _presence(self, pixels: Tensor) -> Tensor | None:
        model = self.stages.classifier
        return None if model is None else _finite(find_presence(model, pixels), model)

    def _masks(self, pixels: Tensor, presence: Tensor | None) -> dict[Way, Tensor]:
        found: dict[Way, Tensor] = {}
        if "cam" in self.stages.ways:
            found["cam"] = self._cam(pixels, presence)
        if self.stages.segmenter is not None:
            logits = self._logits(self.stages.segmenter, pixels)
            for way, gate in (("segmenter", OPEN), ("gated", self.stages.gate)):
                if way in self.stages.ways:
                    found[way] = gate.classes(logits, presence)
        return found

    def _cam(self, pixels: Tensor, presence: Tensor | None) -> Tensor:
        """Do as `make_cam_masks`, with the probabilities that are known already."""
        model = self.stages.classifier
        if model is None or presence is None:  # refused when made
            raise ValueError("cam needs a classifier")
        last = grad_cam(cast(Classifier, model.network), model.prepare(pixels))[-1]
        return predicted_masks(last, presence, (pixels.shape[1], pixels.shape[2]))

    @torch.no_grad()
    def _logits(self, model: TissueModel, pixels: Tensor) -> Tensor:
        return _finite(model(model.prepare(pixels)).float(), model)

    def _running(self) -> AbstractContextManager[None]:
        return number_format(self.device, bf16=self.bf16)


def choose_bf16(wanted: Literal["auto", "float32", "bf16"], device: torch.device) -> bool:
    """Say whether networks run in bf16: auto takes it on GPUs that have it."""
    if wanted == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return wanted == "bf16"


class Agreement(NamedTuple):
    """How well classes of N patches are found.

    Attributes:
        known: patches of which anything is known, bool (N,).
        exact: all of their known classes are right, bool (N,).
        jaccard: found and true classes in common over all of them, (N,); 1 where there are none.
    """

    known: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    jaccard: NDArray[np.float64]


def patch_agreement(presence: ArrayLike, labels: ArrayLike) -> Agreement:
    """Compare classes of p > .5 with labels, patch by patch (METHODS 10.2).

    Args:
        presence: probabilities, (N, C).
        labels: 1, 0 or -1 per class, (N, C).
    """
    label = np.asarray(labels)
    known, true = label != UNKNOWN, label == 1
    found = (np.asarray(presence) > LIKELY) & known
    both, either = (found & true).sum(axis=1), (found | true).sum(axis=1)
    jaccard = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    counted = known.any(axis=1)
    return Agreement(counted, (found == true).all(axis=1) & counted, jaccard)


def held_classes(masks: Masks, classes: int) -> NDArray[np.int8]:
    """Say which classes masks hold, 1 or 0, or -1 for all of a patch without a mask, (N, C).

    Args:
        masks: true ones, (N, H, W); 255 where there is none.
        classes: C.
    """
    flat = masks.reshape(len(masks), -1)
    held = np.stack([(flat == k).any(axis=1) for k in range(classes)], axis=1).astype(np.int8)
    held[~has_mask(masks)] = UNKNOWN
    return held


def has_mask(masks: Masks) -> NDArray[np.bool_]:
    """Say which of N patches have any pixel whose class is known, (N,)."""
    return np.asarray((masks.reshape(len(masks), -1) != NO_MASK).any(axis=1))


def _finite(found: Tensor, model: TissueModel) -> Tensor:
    if not bool(found.isfinite().all()):
        raise NumericsError(f"{model.card.name} gave NaN or infinity; try --precision float32")
    return found
