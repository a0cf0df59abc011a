"""Nearest neighbours in the middle of training, where patches have labels (METHODS 2.7)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data import SlideInfo, iterate_batches
from models.data.loading import Readable
from models.encoders.encoder import Encoder
from models.probe.knn import knn_scores
from models.scores import balanced_accuracy
from models.training.method import Method
from tiling.epochs import Indices, epoch_generator
from tiling.sampling import shuffled

MOST_ROWS = 2000
"""Patches on either side: enough to see a trend, quick enough for every epoch."""
BATCH = 64
HELD_OUT = 0.25
"""Share of the patients that are judged where no split says which."""


@dataclass(frozen=True)
class Neighbours:
    """Judges an encoder by the classes of nearest neighbours of other patients.

    Attributes:
        patches: where pixels are.
        labels: class of every patch of the data set, -1 unknown, (N,).
        teach: patches whose labels are shown, (n,).
        judged: patches whose labels are asked for, (m,).
        every: epochs from one score to the next.
    """

    name: ClassVar[str] = "knn"

    patches: Readable
    labels: NDArray[np.integer]
    teach: Indices
    judged: Indices
    every: int = 1

    def __call__(self, method: Method, epoch: int) -> float | None:
        """Give the balanced accuracy, or None in epochs between."""
        if (epoch + 1) % self.every:
            return None
        was_training = method.training
        method.eval()
        score = self.score(method.encoder)
        method.train(was_training)
        return score

    def score(self, encoder: Encoder) -> float | None:
        """Give the balanced accuracy of an encoder that is in evaluation mode."""
        known, classes = np.unique(self.labels[self.teach], return_inverse=True)
        shares = knn_scores(
            self._embedded(encoder, self.teach),
            classes,
            self._embedded(encoder, self.judged),
            len(known),
        )
        truth = self.labels[self.judged]
        return balanced_accuracy(truth, known[shares.argmax(axis=1)])

    @torch.inference_mode()
    def _embedded(self, encoder: Encoder, rows: Indices) -> NDArray[np.float32]:
        device = encoder.get_buffer("scale").device
        found: list[Tensor] = []
        for batch in iterate_batches(self.patches, rows, batch_size=BATCH):
            found.append(encoder(encoder.prepare(batch.pixels.to(device))).float().cpu())
        return np.asarray(torch.cat(found).numpy(), np.float32)


def choose_rows(
    slides: tuple[SlideInfo, ...],
    slide_of: Indices,
    labels: NDArray[np.integer] | None,
    *,
    seed: int,
) -> tuple[Indices, Indices] | None:
    """Choose who teaches and who is judged, no patient on both sides.

    The manifest's splits train and val, where there are both; else a quarter of the patients is
    judged. The split test is not touched.

    Returns:
        Two sorted index arrays; None without class labels, or where a side would be empty.
    """
    if labels is None or labels.ndim > 1:
        return None
    splits = np.array([slide.split for slide in slides])[slide_of]
    known = labels >= 0
    if {"train", "val"} <= set(splits[known]):
        teach, judged = known & (splits == "train"), known & (splits == "val")
    else:
        chosen = _some_patients(slides, seed)[slide_of]
        known &= splits != "test"
        teach, judged = known & ~chosen, known & chosen
    if not (teach.any() and judged.any()):
        return None
    return _some(np.flatnonzero(teach), seed), _some(np.flatnonzero(judged), seed)


def _some_patients(slides: tuple[SlideInfo, ...], seed: int) -> NDArray[np.bool_]:
    """Tell which slides are of the patients that are judged, (S,)."""
    names = [slide.patient or slide.slide_id for slide in slides]
    _, patient = np.unique(names, return_inverse=True)
    count = int(patient.max()) + 1
    order = shuffled(count, epoch_generator(seed, 0))
    return np.isin(patient, order[: max(1, round(HELD_OUT * count))])


def _some(rows: Indices, seed: int) -> Indices:
    return np.sort(rows[shuffled(len(rows), epoch_generator(seed, 1))[:MOST_ROWS]])
