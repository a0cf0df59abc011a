"""What a student says of the test patches (METHODS 8.6)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.augment.blur import Blur
from models.data import iterate_batches
from models.distilling.branch import Branch
from models.distilling.choosing import Parts
from models.errors import WeightsError
from models.files import replacing
from models.losses.distl import Target

BATCH = 64
PREDICTIONS = "predictions.npz"
"""File of a stage's folder."""


@dataclass(frozen=True)
class Predictions:
    """The test patches, m rows.

    Attributes:
        probabilities: (m, C).
        labels: class (m,), or 1, 0 and -1 per class (m, C).
        slide: number of each row's slide, (m,).
        patch: number in its slide where one archive was tested, else in all archives, (m,).
        slide_ids: (S,).
        patients: of the slides, (S,); the slide's ID where nobody knows.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.integer[Any]]
    slide: NDArray[np.int64]
    patch: NDArray[np.int64]
    slide_ids: NDArray[np.str_]
    patients: NDArray[np.str_]

    @property
    def patient(self) -> NDArray[np.str_]:
        """Patient of each row, (m,)."""
        found: NDArray[np.str_] = self.patients[self.slide]
        return found

    def save(self, folder: Path) -> None:
        """Write them, wholly or not at all."""
        with replacing(folder / PREDICTIONS) as temporary, temporary.open("wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> "Predictions":
        """Read them.

        Raises:
            WeightsError: they are not there, or damaged.
        """
        path = folder / PREDICTIONS
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**dict(arrays))
        except (OSError, ValueError, TypeError, KeyError) as err:
            raise WeightsError(f"cannot read {path}: {err}; train anew with --overwrite") from err


def predict(student: Branch, parts: Parts, *, infer_blur_px: float) -> Predictions:
    """Ask a student about the test patches: one whole view, in float32."""
    was_training = student.training
    student.eval()
    probabilities = _probabilities(student, parts, infer_blur_px)
    student.train(was_training)
    patches, rows = parts.patches, parts.test
    numbers = getattr(patches, "patch_of", np.arange(len(patches)))  # of one archive
    labels = np.asarray(patches.labels)[rows]
    return Predictions(
        probabilities,
        labels,
        patches.slide_of[rows],
        np.asarray(numbers, np.int64)[rows],
        np.array([slide.slide_id for slide in patches.slides]),
        np.array([slide.patient or slide.slide_id for slide in patches.slides]),
    )


@torch.inference_mode()
def _probabilities(student: Branch, parts: Parts, blur_px: float) -> NDArray[np.float64]:
    encoder = student.encoder
    device = encoder.get_buffer("scale").device
    found = []
    for batch in iterate_batches(parts.patches, parts.test, batch_size=BATCH):
        images = blurred(encoder.prepare(batch.pixels.to(device)), blur_px)
        embedded = encoder(images)
        found.append(probabilities_of(student.classes(embedded), parts.target).cpu())
    return np.asarray(torch.cat(found).numpy(), np.float64)


def probabilities_of(logits: Tensor, target: Target) -> Tensor:
    """Give the probability of every class, float64 (b, C)."""
    wide = logits.double()
    if target == "exclusive":
        return wide.softmax(dim=1)
    shares = wide.sigmoid()
    return torch.cat([1 - shares, shares], dim=1) if target == "binary" else shares


def blurred(images: Tensor, sigma_px: float) -> Tensor:
    """Blur images (b, 3, S, S); a sigma of 0 leaves them."""
    if not sigma_px:
        return images
    sigma = np.full(len(images), sigma_px)
    blur = Blur.of(sigma, "four-sigma", images.shape[-1], images.device)
    return blur.apply(images.contiguous(), slice(0, len(images))).mT.contiguous()
