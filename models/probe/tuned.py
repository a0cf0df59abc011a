"""A fine-tuned classifier: an encoder and a linear layer on top."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.encoders.encoder import Encoder
from models.probe.cases import Indices
from models.probe.tensors import Floats, as_scores

Pixels = Callable[[Indices, int], Iterator[Tensor]]
"""Gives rows of `Cases` in an order, in batches of a size, uint8 (B, H, W, 3) on the CPU."""


@dataclass(frozen=True)
class Tuned:
    """A classifier.

    Attributes:
        encoder: with the weights of the kept epoch.
        head: from embeddings to logits.
        history: of each epoch its number, loss, loss on held-out patients, and whether it was the
            best so far.
    """

    encoder: Encoder
    head: nn.Linear
    history: tuple[dict[str, Any], ...] = ()

    def logits(self, pixels: Tensor) -> Tensor:
        """Give logits of patches (B, H, W, 3), on the device, with gradients if they are on."""
        device = self.head.weight.device
        return self.of_images(self.encoder.prepare(pixels.to(device, non_blocking=True)))

    def of_images(self, images: Tensor) -> Tensor:
        """Give logits (B, C) in float32 of prepared images (B, 3, H, W)."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=images.is_cuda):
            found: Tensor = self.head(self.encoder(images))
        return found.float()

    @torch.inference_mode()
    def all_logits(self, pixels: Pixels, rows: Indices, batch: int) -> Tensor:
        """Give logits of rows on the CPU, (m, C)."""
        self.encoder.eval()
        return torch.cat([self.logits(part).cpu() for part in pixels(rows, batch)])

    def scores(self, pixels: Pixels, rows: Indices, batch: int = 64) -> Floats:
        """Give probabilities of rows, (m, C)."""
        return as_scores(self.all_logits(pixels, rows, batch).double().softmax(dim=1))
