"""Embeddings in memory: nothing is written into the archive."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.embedding.forward import Forward
from models.embedding.setting import REPRODUCIBLE
from models.encoders import Encoder
from models.errors import NumericsError
from workflows.experiments.loop import Tell


@dataclass(frozen=True)
class Embedder:
    """An encoder on a device, in float32, so that two runs give the same.

    Attributes:
        encoder: is moved to the device.
        device: where it is computed.
        batch: patches at a time.
    """

    encoder: Encoder
    device: torch.device
    batch: int

    def embed(self, batches: Iterable[Tensor], count: int, tell: Tell) -> NDArray[np.float32]:
        """Embed patches, (count, D).

        Args:
            batches: uint8 (B, P, P, 3), `count` patches in all.
            count: number of patches.
            tell: takes the share that is done.

        Raises:
            NumericsError: an embedding is NaN or infinite.
        """
        rows = np.empty((count, self.encoder.card.dim), np.float32)
        forward = Forward(self.encoder, REPRODUCIBLE, self.device, self.batch)
        forward.embed(batches, rows, lambda _, stop: tell(stop / max(count, 1)))
        bad = int((~np.isfinite(rows)).any(axis=1).sum())
        if bad:
            raise NumericsError(
                f"{bad:,} of {count:,} embeddings of {self.encoder.card.name} are NaN or infinite"
            )
        return rows
