"""Scores in the middle of training, on patches with true masks, and the best weights so far."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from models.data import iterate_batches
from models.errors import LabelsError
from models.files import write_whole
from models.segmentation.choosing import Learned
from models.segmentation.metrics import confusion, score
from tiling.epochs import Indices

BEST, KEY = "best.safetensors", "microtome_best"
"""File of a run's folder with the weights of the best epoch, and which one that was."""
BATCH = 20

Predict = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Judge:
    """Mean IoU of validation patches, pixels of background left out (METHODS 10.5, 10.6).

    A run that goes on from an earlier state finds the same scores again, so a best epoch that lies
    ahead of it does no harm.

    Attributes:
        learned: patches with true masks.
        predict: gives classes uint8 (B, H, W) of a network in evaluation mode and of pixels
            uint8 (B, H, W, 3) on its device.
        folder: of the run.
        keeps: whether the best weights are kept.
        every: epochs from one score to the next.
    """

    name: ClassVar[str] = "miou"

    learned: Learned
    predict: Predict
    folder: Path
    keeps: bool
    every: int = 1

    def __call__(self, method: Any, epoch: int) -> float | None:
        """Give the score, or None in epochs between."""
        if (epoch + 1) % self.every:
            return None
        network: nn.Module = method.network
        was_training = method.training
        method.eval()
        found = self.score(network)
        method.train(was_training)
        if self.keeps and found is not None and found > self._best():
            tensors = {k: t.detach().cpu().contiguous() for k, t in network.state_dict().items()}
            about = json.dumps({"epoch": epoch, self.name: found})
            write_whole(self.folder / BEST, save(tensors, {KEY: about}))
        return found

    def score(self, network: nn.Module) -> float | None:
        """Give the mean IoU of a network in evaluation mode; None where no class is defined."""
        patches, classes = self.learned.patches, len(self.learned.classes)
        device = next(network.parameters()).device
        matrix = np.zeros((classes + 1, classes + 1), np.int64)
        rows: Indices = np.arange(len(patches), dtype=np.int64)
        for batch in iterate_batches(patches, rows, batch_size=BATCH):
            predicted = self.predict(network, batch.pixels.to(device)).cpu().numpy()
            if batch.masks is None:
                raise LabelsError("patches that judge a network need true masks, and have none")
            matrix += confusion(batch.masks[:, 0].numpy(), predicted, classes)
        return score(matrix).miou

    def _best(self) -> float:
        about = best_epoch(self.folder)
        return -1.0 if about is None else float(about[self.name])


def best_epoch(folder: Path) -> dict[str, Any] | None:
    """Read which epoch was the best one: `epoch`, counted from 0, and its score."""
    if not (folder / BEST).is_file():
        return None
    with safe_open(folder / BEST, framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()[KEY])
    return found


def load_best(network: nn.Module, folder: Path) -> None:
    """Put the weights of the best epoch into a network."""
    with torch.no_grad():
        network.load_state_dict(load_file(folder / BEST))


def remove_best(folder: Path) -> None:
    """Forget a best epoch, of this run or of an earlier one."""
    (folder / BEST).unlink(missing_ok=True)
