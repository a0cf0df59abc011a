"""What all sites of a federated pretraining do alike; plain values that fit into a message."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from models.federated.errors import ProtocolError
from models.training.settings import OptimizerName, TrainSettings

MethodName = Literal["fcl", "rotnet", "simclr"]
DataKind = Literal["volumes", "patches"]

PLAIN = re.compile(r"(timm:)?[A-Za-z0-9_+-]+(\.[a-z0-9_]+)?")
"""Names of encoders that a plan may have: sites open what a plan names."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One federated pretraining.

    Attributes:
        method: fcl, or a baseline that is only averaged: rotnet (FedRotation), simclr (FedSimCLR).
        data: slices of volumes of one channel, or 8-bit RGB patches.
        encoder: unet, or for patches any other name of the table.
        weights: that the encoder begins with: random (by the seed), published, or a file.
        width: channels of the first level of a U-Net, 48 (source, sister code).
        side_px: of the canvas of slices, or of the network's input.
        rounds: 50 (our choice).
        epochs: local passes in each round, 1 (our choice).
        batch: patches of a step, 32 (source, sister code).
        optimizer: sgd (source, sister code).
        base_lr: .1 (source, sister code), half a cosine over all rounds.
        weight_decay: 1e-5 (source, sister code).
        quorum: good answers that a round needs.
        seed: of weights, orders, augmentation and draws.
        settings: of the method, fields of `FclSettings` or of `MethodSettings`.

    Raises:
        ValueError: a value is out of its range.
    """

    method: MethodName = "fcl"
    data: DataKind = "volumes"
    encoder: str = "unet"
    weights: str = "random"
    width: int = 48
    side_px: int = 352
    rounds: int = 50
    epochs: int = 1
    batch: int = 32
    optimizer: OptimizerName = "sgd"
    base_lr: float = 0.1
    weight_decay: float = 1e-5
    quorum: int = 1
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        for name in ("width", "side_px", "rounds", "epochs", "batch", "quorum"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.method not in get_args(MethodName) or self.data not in get_args(DataKind):
            raise ValueError(f"no such method or data: {self.method}, {self.data}")
        if not PLAIN.fullmatch(self.encoder):
            raise ValueError(f"the encoder must be named, not a file or an address: {self.encoder}")
        if self.data == "volumes" and self.encoder != "unet":
            raise ValueError(f"slices of one channel need the encoder unet, not {self.encoder}")

    @property
    def identity(self) -> str:
        """Hash of all of it, 16 hex digits; sites and server of one run have the same."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def exchanges(self) -> bool:
        """Banks of features are exchanged, beside weights."""
        return self.method == "fcl"

    def training(self, batch: int) -> TrainSettings:
        """Give the optimisation of one site whose steps have so many patches."""
        return TrainSettings(
            epochs=self.rounds * self.epochs,
            batch=batch,
            optimizer=self.optimizer,
            base_lr=self.base_lr,
            scale_lr=False,
            weight_decay=self.weight_decay,
        )

    def document(self) -> dict[str, Any]:
        """Give JSON values; `Plan.of` is the way back."""
        return asdict(self)

    @classmethod
    def of(cls, document: Any) -> "Plan":
        """Read a plan from a message.

        Raises:
            ProtocolError: it is no plan of this version.
        """
        names = {one.name for one in fields(cls)}
        if not isinstance(document, dict) or set(document) != names:
            raise ProtocolError("the plan is not one of this version of microtome")
        usual = cls().document()
        other = [name for name in sorted(names) if not _is_like(document[name], usual[name])]
        if other:
            raise ProtocolError(f"the plan cannot be followed: {other[0]} is of another type")
        try:
            return cls(**document)
        except (TypeError, ValueError) as err:
            raise ProtocolError(f"the plan cannot be followed: {err}") from err


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value has the type of another; whole numbers may stand for others."""
    return type(value) is type(usual) or (type(value), type(usual)) == (int, float)
