"""What describes a method of pretraining; plain values, no torch."""

from dataclasses import dataclass
from typing import Literal, get_args

Pool = Literal["any", "same_slide", "other_slides"]
Rule = Literal["similar", "same_slide"]
DsMode = Literal["schedule", "threshold", "both"]
DsCurve = Literal["linear", "cosine", "step"]
DsAction = Literal["promote", "remove"]
MomentumSchedule = Literal["cosine", "constant"]
SimclrHead = Literal["plain", "bn"]


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """Everything that a method can be told; a field that a method lacks has no effect on it.

    Attributes:
        temperature: tau. MoCo v3's ViT recipe has .2 (source), SimCLR .1 (our choice).
        momentum: m0 of the twin's moving average, .99 (our choice; source for MoCo v3).
        momentum_schedule: cosine rises from m0 to 1 (source, MoCo v3's ViT recipe).
        queue: keys of earlier steps that are kept per direction; 0 as MoCo v3 has none (our
            choice, METHODS 4.2).
        positives: S of SRCL, 5 (review); of N-Sam, and the most of DS, S_max (our choice).
        plain_epochs: first epochs with the plain loss, 5 (review for SRCL; our choice for N-Sam
            and DS, where it is e0 too).
        pool: which keys SRCL and DS may select: any, same_slide or other_slides (our choice).
        rule: which keys N-Sam drops: the most similar, or all of the query's slide (our
            definition).
        ds_mode: what decides on the number that DS selects: the epoch's schedule, a threshold per
            query, or both (our definition).
        ds_curve: g of the schedule (our choice): linear; cosine, half a wave; step, all at e1.
        ds_end: e1 as a share of all epochs, .5 (our choice).
        ds_threshold: theta, the least cosine of what a threshold selects (our choice).
        ds_action: promote what is selected to positives, or remove it (our choice).
        simclr_head: plain is Linear-ReLU-Linear; bn has batch normalisation (our choice).
        hidden: width inside MoCo v3's heads, 4096 (source).
        features: length of what is compared: 256 in MoCo v3, 128 in SimCLR (source).
        freeze_patch: a ViT's patch projection stays as it was drawn, in MoCo v3 (source).
        jitter: strength s of the preset's colour jitter; None is the preset's own. .5 for
            rotnet-jitter (our choice; .5 to 1 is advised).
        block: rows of logits that are held at a time; None chooses what fits into memory.

    Raises:
        ValueError: a value is out of its range.
    """

    temperature: float = 0.2
    momentum: float = 0.99
    momentum_schedule: MomentumSchedule = "cosine"
    queue: int = 0
    positives: int = 5
    plain_epochs: int = 5
    pool: Pool = "any"
    rule: Rule = "similar"
    ds_mode: DsMode = "schedule"
    ds_curve: DsCurve = "linear"
    ds_end: float = 0.5
    ds_threshold: float = 0.8
    ds_action: DsAction = "promote"
    simclr_head: SimclrHead = "bn"
    hidden: int = 4096
    features: int = 256
    freeze_patch: bool = True
    jitter: float | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        for name in ("momentum", "ds_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name, choice in _CHOICES.items():
            if getattr(self, name) not in get_args(choice):
                valid = ", ".join(get_args(choice))
                raise ValueError(f"{name} must be one of {valid}, got {getattr(self, name)!r}")


_LEAST = {
    "queue": 0,
    "positives": 0,
    "plain_epochs": 0,
    "hidden": 1,
    "features": 1,
    "jitter": 0,
    "block": 1,
}
_CHOICES = {
    "momentum_schedule": MomentumSchedule,
    "pool": Pool,
    "rule": Rule,
    "ds_mode": DsMode,
    "ds_curve": DsCurve,
    "ds_action": DsAction,
    "simclr_head": SimclrHead,
}
