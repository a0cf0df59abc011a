"""What every model of bags gives back, and the parts that several of them share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.mil.losses import weighted_cross_entropy
from models.mil.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class MilOutput:
    """What a model says of B bags of at most n patches and C classes.

    Attributes:
        logits: (B, C).
        attention: (B, A, n); each row sums to 1 over the patches of its bag, and is 0 on padding.
            A is 1, or C where every class has its own.
        hidden: what the attention weighs, (B, n, H); None where no loss asks for it.
    """

    logits: Tensor
    attention: Tensor
    hidden: Tensor | None = None


class MilModel(nn.Module, ABC):
    """A classifier of bags. Order of patches does not matter to any of them.

    Args:
        dim: length of an embedding, D.
        classes: number of classes, C.
        settings: of the model.
    """

    @abstractmethod
    def __init__(self, dim: int, classes: int, settings: ModelSettings) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, bags: Tensor, mask: Tensor | None = None) -> MilOutput:
        """Classify bags.

        Args:
            bags: (B, n, D), shorter bags padded at their end.
            mask: (B, n), True where there is a patch; None where nothing is padded.
        """

    def loss(
        self, output: MilOutput, labels: Tensor, weights: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Give the loss to train by: cross-entropy, weighted by class.

        Args:
            output: of `forward` for the same bags and mask.
            labels: class of each bag, (B,).
            weights: of each class, (C,).
            mask: as for `forward`.
        """
        del mask
        return weighted_cross_entropy(output.logits, labels, weights)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last dimension of `(B, A, n)`, 0 where `mask` `(B, n)` is False."""
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, :], -torch.inf)
    return torch.softmax(scores, dim=-1)


class GatedAttention(nn.Module):
    """Attention scores w(tanh(V h) * sigmoid(U h)), before the softmax.

    Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    arXiv 1802.04712, equation (9), with the dropout on both factors that CLAM adds.
    """

    def __init__(self, hidden: int, inner: int, branches: int, dropout: float) -> None:
        super().__init__()
        self.tanh = nn.Linear(hidden, inner)
        self.gate = nn.Linear(hidden, inner)
        self.score = nn.Linear(inner, branches)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Score instances: (B, n, H) -> (B, A, n)."""
        content = self.dropout(torch.tanh(self.tanh(hidden)))
        gate = self.dropout(torch.sigmoid(self.gate(hidden)))
        scores: Tensor = self.score(content * gate)
        return scores.transpose(1, 2)
