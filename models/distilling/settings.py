"""What describes self-evolving distillation; plain values, no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from models.training.settings import TrainSettings

RATE_BATCH = 16
"""Batch that the published rate is given for; the help text says 256, the code divides by 16."""


@dataclass(frozen=True, slots=True)
class DistlSettings:
    """METHODS 8, source where nothing else is said.

    Attributes:
        weight: lambda, of self-supervision against labels.
        ssl_epochs: first epochs with self-supervision; later ones learn from labels alone.
        correct_steps: K, steps from one correction pass to the next, the first before step 0.
        self_supervision: without it the DINO term is left out (ablation).
        self_training: without it the term of pseudo-labels is left out (ablation).
        correction: without it there is no pass over the labelled set (ablation).
        momentum: m0 of the teacher, which rises to 1 as a cosine.
        centre_momentum: of the centre of the teacher's outputs.
        teacher_temperature: of its softmax.
        student_temperature: of the student's.
        prototypes: outputs of the DINO head.
        hidden: width inside the DINO head.
        features: length of what prototypes are compared with.
        class_hidden: width inside the class head.
        drop_path: rate of stochastic depth, of the student only.
        clip: largest norm of the gradient of each parameter.
        freeze_epochs: first epochs in which prototypes are not trained.

    Raises:
        ValueError: a value is out of its range, or there is nothing left to learn.
    """

    weight: float = 0.5
    ssl_epochs: int = 5
    correct_steps: int = 500
    self_supervision: bool = True
    self_training: bool = True
    correction: bool = True
    momentum: float = 0.9995
    centre_momentum: float = 0.9
    teacher_temperature: float = 0.04
    student_temperature: float = 0.1
    prototypes: int = 65_536
    hidden: int = 2048
    features: int = 256
    class_hidden: int = 256
    drop_path: float = 0.1
    clip: float = 3.0
    freeze_epochs: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for names, is_good, wanted in _RANGES:
            for name in names:
                if not is_good(getattr(self, name)):
                    raise ValueError(f"{name} must be {wanted}, got {getattr(self, name)}")
        if not (self.self_supervision or self.self_training):
            raise ValueError(
                "without self-supervision and without self-training unlabelled patches teach "
                "nothing; leave one of them on"
            )

    def distils(self, epoch: int) -> bool:
        """Whether an epoch has the DINO term."""
        return self.self_supervision and self.weight > 0 and epoch < self.ssl_epochs

    def with_heads(self, heads: Mapping[str, int]) -> "DistlSettings":
        """Take the widths of the heads from somewhere else."""
        changes: dict[str, Any] = dict(heads)
        return replace(self, **changes)

    @property
    def heads(self) -> dict[str, int]:
        """What decides on the shape of the heads."""
        names = ("prototypes", "hidden", "features", "class_hidden")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}


_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("weight", "momentum", "centre_momentum"), lambda value: 0 <= value <= 1, "from 0 to 1"),
    (("teacher_temperature", "student_temperature", "clip"), lambda value: value > 0, "positive"),
    (
        ("correct_steps", "prototypes", "hidden", "features", "class_hidden"),
        lambda value: value >= 1,
        "at least 1",
    ),
    (("ssl_epochs", "freeze_epochs"), lambda value: value >= 0, "at least 0"),
    (("drop_path",), lambda value: 0 <= value < 1, "in [0, 1)"),
)

DISTL_TRAINING = TrainSettings(
    epochs=5,
    batch=8,
    optimizer="adamw",
    base_lr=5e-5 * 256 / RATE_BATCH,
    weight_decay=0.01,
    warmup_epochs=1,
    final_lr=1e-6,
)
"""METHODS 8.4 (source). At step 0 the rate is 0, so the first correction moves the centre alone."""
