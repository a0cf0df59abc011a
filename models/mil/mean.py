"""The mean of a bag, and a linear classifier: the baseline that every attention has to beat."""

import torch
from torch import Tensor, nn

from models.mil.model import MilModel, MilOutput
from models.mil.settings import ModelSettings


class Mean(MilModel):
    """Mean of the embeddings, then one linear layer; every patch has the same attention."""

    def __init__(self, dim: int, classes: int, settings: ModelSettings) -> None:
        super().__init__(dim, classes, settings)
        self.classifier = nn.Linear(dim, classes)

    def forward(self, bags: Tensor, mask: Tensor | None = None) -> MilOutput:
        """See `MilModel.forward`."""
        kept = torch.ones_like(bags[..., 0]) if mask is None else mask.to(bags.dtype)  # (B, n)
        attention = (kept / kept.sum(dim=1, keepdim=True))[:, None]  # (B, 1, n)
        return MilOutput(self.classifier((attention @ bags)[:, 0]), attention)
