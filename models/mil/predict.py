"""Probabilities and attention of bags, by one model or by the mean of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import NumericsError
from models.mil.model import MilModel

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What models say of one bag.

    Attributes:
        each: probabilities by every model, (K, C).
        attention: mean over the models, (A, n); each row sums to 1.
    """

    each: Floats
    attention: Floats

    @property
    def probabilities(self) -> Floats:
        """Mean over the models, (C,)."""
        return np.asarray(self.each.mean(axis=0), np.float32)


def classify(model: MilModel, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give logits (C,) and attention (A, n) of one bag (n, D), on the CPU."""
    output = model(rows[None].to(device))
    return output.logits[0].cpu(), output.attention[0].cpu()


def predict(models: Sequence[MilModel], rows: Tensor, device: torch.device) -> Prediction:
    """Ask every model about one bag (n, D) of at least one patch.

    Raises:
        NumericsError: a model gives NaN or infinity.
    """
    probabilities, attention = [], []
    with torch.inference_mode():
        for model in models:
            model.eval()
            logits, seen = classify(model, rows, device)
            probabilities.append(torch.softmax(logits, 0).numpy())
            attention.append(seen.numpy())
    each, mean = np.stack(probabilities), np.stack(attention).mean(axis=0, dtype=np.float32)
    if not (np.isfinite(each).all() and np.isfinite(mean).all()):
        raise NumericsError(f"a model gave NaN or infinity for a bag of {len(rows):,} patches")
    return Prediction(each, mean)
