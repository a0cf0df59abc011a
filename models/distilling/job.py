"""What a stage of distillation is asked for, as plain JSON values: it may run elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from models.losses.distl import Target
from models.training.settings import Precision


@dataclass(frozen=True, kw_only=True)
class DistillJob:
    """One stage, all choices made.

    Attributes:
        archives: locations; their patches are taken together.
        folder: of the stage, where states and the model are kept.
        identity: of the request; states of another are not taken up.
        round: T; 0 trains the initial model from labels alone.
        start: model of the stage before; None begins with the encoder (round 0).
        encoder: name of the network, or the file of a checkpoint; of round 0.
        weights: `random:SEED`, a file, or None for those that belong to the name.
        input_px: side of whole views; None for 256 where patches are as large, else theirs.
        local_px: side of local views; None for half.
        normalise: subtract the encoder's mean and divide by its deviation; None does so unless its
            weights are random, as the paper's images are in [0, 1].
        name: of the new encoder; empty for the network's and the method's.
        training: fields of `TrainSettings` that differ from the published ones.
        settings: fields of `DistlSettings` that do.
        labelled: share of the labelled units whose labels teach.
        folds: into which all else is divided; round T learns from the first T.
        teach_folds: of round 0: folds whose labels teach too, for comparison.
        fraction_unit: what shares and folds are made of.
        fraction_seed: of labelled part and folds.
        split, test_split: of the slides that teach, and that score.
        test_share: of the patients, where the manifest has no splits.
        target: what labels are; None as the archive has them.
        infer_blur_px: sigma of a blur before scoring, .5 in the paper; 0 none (our choice).
        seed: of weights of heads, order and augmentation.
        precision, device, workers: how it is computed.
        save_seconds, log_steps, stop_on_collapse: habits of the loop.
    """

    archives: tuple[str, ...]
    folder: str
    identity: str
    round: int
    start: str | None = None
    encoder: str = "vit-small-8"
    weights: str | None = None
    input_px: int | None = None
    local_px: int | None = None
    normalise: bool | None = None
    name: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    labelled: float = 0.1
    folds: int = 3
    teach_folds: int = 0
    fraction_unit: Literal["slide", "patient", "patch"] = "patient"
    fraction_seed: int = 0
    split: str = "train"
    test_split: str = "test"
    test_share: float = 0.25
    target: Target | None = None
    infer_blur_px: float = 0.0
    seed: int = 0
    precision: Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    save_seconds: float = 600.0
    log_steps: int = 10
    stop_on_collapse: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "DistillJob":
        """Read one from JSON values."""
        known = {one.name for one in fields(cls)}
        given = {name: document[name] for name in document if name in known}
        return cls(**given | {"archives": tuple(document["archives"])})
