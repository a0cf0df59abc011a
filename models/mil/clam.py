"""CLAM with one attention branch (SB) or one per class (MB)."""

import torch
from torch import Tensor, nn

from models.mil.losses import InstanceTask, instance_loss, weighted_cross_entropy
from models.mil.model import GatedAttention, MilModel, MilOutput, masked_softmax
from models.mil.settings import ModelSettings


class Clam(MilModel):
    """Gated attention pooling that also learns from its most and least attended patches.

    Lu et al., Data-efficient and weakly supervised computational pathology on whole-slide images,
    Nature Biomedical Engineering 2021, arXiv 2004.09666, sections "Attention pooling" and
    "Instance-level clustering". Loss: bag_weight * CE + (1 - bag_weight) * instance loss.

    Differs from the paper: the instance loss is cross-entropy by default (smooth top-1 SVM on
    request), small bags work (see `instance_loss`), and the dropout of the attention is the
    model's own rate. torchmil's CLAM is not used: it has two classes, no class branches, takes a
    patch of a small bag for both sides, and its smooth SVM broadcasts rows against each other.
    """

    def __init__(self, dim: int, classes: int, settings: ModelSettings) -> None:
        super().__init__(dim, classes, settings)
        hidden, rate = settings.hidden_dim, settings.dropout
        self.bag_weight = settings.bag_weight
        self.branches = classes if settings.name == "clam-mb" else 1
        self.task = InstanceTask(
            settings.instance_patches, settings.subtyping, settings.instance_loss
        )
        self.first = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(rate))
        self.attention = GatedAttention(hidden, settings.attention_dim, self.branches, rate)
        # row c is class c's own Linear(H, 1) where there is a branch per class
        self.classifier = nn.Linear(hidden, classes)
        self.instance_classifiers = nn.ModuleList(nn.Linear(hidden, 2) for _ in range(classes))

    def forward(self, bags: Tensor, mask: Tensor | None = None) -> MilOutput:
        """See `MilModel.forward`."""
        hidden = self.first(bags)  # (B, n, H)
        attention = masked_softmax(self.attention(hidden), mask)  # (B, A, n)
        pooled = attention @ hidden  # (B, A, H)
        if self.branches == 1:
            logits = self.classifier(pooled[:, 0])
        else:
            logits = (pooled * self.classifier.weight).sum(-1) + self.classifier.bias
        return MilOutput(logits, attention, hidden)

    def loss(
        self, output: MilOutput, labels: Tensor, weights: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """See `MilModel.loss`; the instance loss is averaged over bags and has no class weights."""
        hidden = output.hidden
        if hidden is None:
            raise ValueError("CLAM's loss needs the hidden values of its own output")
        each = []
        for number, label in enumerate(labels.tolist()):
            kept = slice(None) if mask is None else mask[number]
            attention = output.attention[number][:, kept]
            heads = self.instance_classifiers
            each.append(instance_loss(hidden[number][kept], attention, label, heads, self.task))
        bag = weighted_cross_entropy(output.logits, labels, weights)
        return self.bag_weight * bag + (1 - self.bag_weight) * torch.stack(each).mean()
