"""The two heads of DISTL, in student and teacher alike (METHODS 8.2, source)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.losses.precision import full_precision, unit_rows, widen

INIT_STD = 0.02
"""Of the DINO head's weights at the start, cut at 2; biases are 0 (DINO, arXiv 2104.14294)."""


class Prototypes(nn.Module):
    """A weight-normalised Linear without bias, whose scale g is 1.

    Args:
        features: length of what comes in.
        prototypes: K.
    """

    def __init__(self, features: int, prototypes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(prototypes, features))
        nn.init.trunc_normal_(self.weight, std=INIT_STD)

    def forward(self, unit: Tensor) -> Tensor:
        """Give the cosine with each prototype, float32 (b, K), of rows of length 1."""
        with full_precision(unit):  # similarities are (METHODS 2.5, our choice)
            return functional.linear(widen(unit), functional.normalize(self.weight, dim=1))


class DinoHead(nn.Module):
    """Three Linear layers with GELU and no BN, length 1, prototypes.

    Args:
        dim: of the encoder's output.
        hidden: width inside, 2048.
        features: before the prototypes, 256.
        prototypes: K, 65,536.
    """

    def __init__(self, dim: int, hidden: int, features: int, prototypes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, features),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=INIT_STD)
                nn.init.zeros_(layer.bias)
        self.last = Prototypes(features, prototypes)

    def forward(self, embedded: Tensor) -> Tensor:
        """Give (b, K)."""
        found: Tensor = self.last(unit_rows(self.layers(embedded)))
        return found


def class_head(dim: int, hidden: int, classes: int) -> nn.Sequential:
    """Give the class head: dim -> hidden -> hidden -> classes, ReLU between."""
    return nn.Sequential(
        nn.Linear(dim, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
