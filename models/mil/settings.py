"""What describes a model of bags, and how one is trained; values only."""

from dataclasses import dataclass
from typing import Literal

from models.mil.losses import InstanceLoss

ModelName = Literal["abmil", "clam-sb", "clam-mb", "stamp-transformer", "mean"]
Monitor = Literal["loss", "auroc"]
Balance = Literal["weights", "sampling", "none"]
Schedule = Literal["constant", "one-cycle"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model of bags, wholly described but for its weights; a field that it lacks has no effect.

    Attributes:
        name: of the model.
        hidden_dim: width after the first layer.
        attention_dim: width of the attention's inner layer; CLAM's "big" has 384.
        dropout: rate after the first layer, and within CLAM's attention.
        gated: gated attention (`abmil`; CLAM's always is).
        instance_loss: CLAM's loss of single patches.
        instance_patches: B, the patches at each end of the attention.
        bag_weight: share of the bag's loss in CLAM's loss.
        subtyping: CLAM's classes exclude each other.
        mask_padding: leave padding out (`stamp-transformer`).
    """

    name: ModelName
    hidden_dim: int = 512
    attention_dim: int = 128
    dropout: float = 0.25
    gated: bool = True
    instance_loss: InstanceLoss = "cross-entropy"
    instance_patches: int = 8
    bag_weight: float = 0.7
    subtyping: bool = True
    mask_padding: bool = True


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a model is trained.

    Attributes:
        lr: learning rate of Adam, the largest one of a one-cycle schedule.
        weight_decay: of Adam; decoupled from the gradient (AdamW) with `decoupled`.
        epochs: at most.
        patience: epochs without a better value of `monitor` after which training stops.
        min_epochs: before which it does not stop.
        min_delta: by how much a value must be better to count.
        monitor: what decides on stopping and on the weights that are kept, on validation bags.
        batch: bags per step.
        max_patches: drawn at random from a bag in training; None takes all.
        schedule: of the learning rate.
        decoupled: AdamW.
        balance: what is done about rare classes: weights in the loss, weighted sampling, nothing.
    """

    lr: float = 1e-4
    weight_decay: float = 1e-5
    epochs: int = 100
    patience: int = 20
    min_epochs: int = 0
    min_delta: float = 0.0
    monitor: Monitor = "loss"
    batch: int = 1
    max_patches: int | None = None
    schedule: Schedule = "constant"
    decoupled: bool = False
    balance: Balance = "weights"
