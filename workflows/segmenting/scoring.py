"""Scores stages on patches with true masks, batch by batch: only counts are kept, by patient."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.data import Batch, iterate_batches
from models.data.loading import Indices
from models.errors import LabelsError
from models.segmentation.classifier import several_labels
from models.segmentation.evaluating import (
    Answers,
    Evaluator,
    Masks,
    Way,
    has_mask,
    held_classes,
    patch_agreement,
)
from models.segmentation.metrics import Counts, confusion
from models.segmentation.pseudo import white_pixels
from workflows.segmenting.gallery import Gallery, Shown
from workflows.segmenting.truth import Truth

Tally = dict[str, Counts]
"""Of each patient, pixels by true and predicted class, (C + 1, C + 1)."""


@dataclass
class Counted:
    """What was counted.

    Attributes:
        tallies: by way, as the network says it.
        whitened: by way, with white as background; empty where white is tissue.
        agreement: of each patient, patches that are labelled, exact matches, sum of Jaccard
            indices.
        labels: where labels of patches are from: archive, or masks for what their masks hold.
        patches: that were scored.
        without_mask: patches that have none, and were left out.
    """

    tallies: dict[Way, Tally] = field(default_factory=dict)
    whitened: dict[Way, Tally] = field(default_factory=dict)
    agreement: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    patches: int = 0
    without_mask: int = 0


class Scorer:
    """Counts what stages say of the patches of several archives.

    Args:
        evaluator: asks the stages.
        gallery: keeps some patches for a picture.
        batch: patches at a time.
        advance: told how many patches are done.
    """

    def __init__(
        self, evaluator: Evaluator, gallery: Gallery, *, batch: int, advance: Callable[[int], None]
    ) -> None:
        self.counted = Counted()
        self._evaluator, self._gallery = evaluator, gallery
        self._card = evaluator.stages.models[0].card
        self._batch, self._advance = batch, advance

    def add(self, truth: Truth) -> None:
        """Count the patches of an archive.

        Raises:
            LabelsError: a mask holds a class that there is not.
            CorruptStoreError: a patch or mask is not what was written.
        """
        patients = np.array(truth.patients, np.str_)
        draws = self._gallery.draw(len(truth))
        try:
            for batch in self._batches(truth):
                self._count(truth, batch, patients[batch.slide.numpy()], draws)
                self._advance(len(batch))
        finally:
            truth.masked.close()

    def _batches(self, truth: Truth) -> Iterator[Batch]:
        order = np.arange(len(truth), dtype=np.int64)
        pinned = self._evaluator.device.type == "cuda"
        return iterate_batches(truth.masked, order, batch_size=self._batch, pin_memory=pinned)

    def _count(
        self,
        truth: Truth,
        batch: Batch,
        patients: NDArray[np.str_],
        draws: NDArray[np.float64],
    ) -> None:
        if batch.masks is None:  # MaskedPatches always gives them
            raise LabelsError(f"{truth.location} has no masks")
        true = batch.masks[:, 0].numpy()
        rows = np.flatnonzero(has_mask(true))
        self.counted.patches += len(rows)
        self.counted.without_mask += len(true) - len(rows)
        if not len(rows):
            return
        true, patients, pixels = true[rows], patients[rows], batch.pixels[rows]
        answers = self._evaluator.ask(pixels)
        white = white_pixels(pixels.numpy()) if self._card.white else None
        seen = self._count_pixels(truth, true, answers, patients, white)
        if answers.presence is not None:
            self._count_patches(answers.presence, self._labels(batch, rows, true), patients)
        names = self._names(truth, batch.index.numpy()[rows])
        for i, draw in enumerate(draws[batch.index.numpy()[rows]]):
            masks: dict[str, Masks] = {way: mask[i] for way, mask in seen.items()}
            self._gallery.offer(float(draw), Shown(names[i], pixels[i].numpy(), true[i], masks))

    def _count_pixels(
        self,
        truth: Truth,
        true: Masks,
        answers: Answers,
        patients: NDArray[np.str_],
        white: NDArray[np.bool_] | None,
    ) -> dict[Way, Masks]:
        """Count all ways; gives masks as they are shown, white ones where white is background."""
        classes, seen = len(self._card.classes), {}
        for way, mask in answers.masks.items():
            plain = self.counted.tallies.setdefault(way, {})
            self._tally(truth, plain, (true, mask), patients)
            seen[way] = mask
            if white is not None:
                seen[way] = np.where(white, np.uint8(classes), mask)
                whitened = self.counted.whitened.setdefault(way, {})
                self._tally(truth, whitened, (true, seen[way]), patients)
        return seen

    def _tally(
        self, truth: Truth, into: Tally, pair: tuple[Masks, Masks], patients: NDArray[np.str_]
    ) -> None:
        true, predicted = pair
        for patient in np.unique(patients):
            rows = patients == patient
            try:
                found = confusion(true[rows], predicted[rows], len(self._card.classes))
            except LabelsError as err:
                raise LabelsError(f"{truth.location}: {err}") from err
            into[str(patient)] = into.get(str(patient), 0) + found

    def _labels(self, batch: Batch, rows: Indices, true: Masks) -> NDArray[np.integer]:
        """Give 1, 0 or -1 per class: the archive's labels, or else what masks hold."""
        classes = len(self._card.classes)
        self.counted.labels.add("masks" if batch.labels is None else "archive")
        if batch.labels is None:
            return held_classes(true, classes)
        return np.asarray(several_labels(batch.labels, classes).numpy()[rows], np.int64)

    def _count_patches(
        self,
        presence: NDArray[np.float32],
        labels: NDArray[np.integer],
        patients: NDArray[np.str_],
    ) -> None:
        found = patch_agreement(presence, labels)
        for i, patient in enumerate(patients.tolist()):
            if found.known[i]:
                added = np.array([1.0, found.exact[i], found.jaccard[i]])
                self.counted.agreement[patient] = self.counted.agreement.get(patient, 0) + added

    @staticmethod
    def _names(truth: Truth, index: Sequence[int] | Indices) -> list[str]:
        patches, slides = truth.patches, truth.patches.slides
        return [
            f"{slides[patches.slide_of[i]].slide_id} patch {patches.patch_of[i]}" for i in index
        ]
