"""The config of `microtome experiment data-efficiency`."""

from typing import Literal

from pydantic import Field, field_validator

from workflows.experiments.config import ExperimentConfig, known_shares

Baseline = Literal["mocov3", "simclr"]
Strategy = Literal["nsam", "ds", "srcl"]
Layer = Literal["stage1", "stage2", "stage3", "last2", "stage4"]
Downstream = Literal["knn", "linear", "mil"]


class DataEfficiencyConfig(ExperimentConfig):
    """Compare shares of the pretraining data, layers and sampling strategies: 13 rows by seeds.

    Every encoder is judged by probes on its embeddings of labelled patches, or by MIL on bags.
    Layers are read from the baseline's network. Run the same command again to go on where it was
    stopped or killed. The file is TOML or JSON; every option below may stand in it.
    """

    encoder: str = "ctranspath-swin-tiny"
    """Network (`microtome encoders`), with four stages."""
    init: str = "random"
    """Weights that all begin with: random (by the seed), published, or a file."""
    baseline: Baseline = "mocov3"
    """Method of the first row, of the smaller shares and of the layers."""
    fractions: tuple[float, ...] = (0.5, 0.25, 0.1)
    """Further shares of the pretraining data, each part of the next larger one."""
    layers: tuple[Layer, ...] = ("stage1", "stage2", "stage3", "last2", "stage4")
    """Layers of the baseline; stage4 is the usual output, so its row repeats the first."""
    strategies: tuple[Strategy, ...] = ("nsam", "ds", "srcl")
    """Sampling strategies, on all data."""
    ctranspath: str | None = None
    """File of CTransPath's published weights; without it that row says so."""
    pretext_epochs: int = Field(default=50, ge=1)
    """Passes of pretraining."""
    warmup_epochs: float | None = Field(default=None, ge=0)
    """Epochs in which the rate rises from 0; by default the method's share of the run."""
    positives: int | None = Field(default=None, ge=0)
    """S of the strategies; by default 5."""
    plain_epochs: int | None = Field(default=None, ge=0)
    """Epochs before the strategies begin to select; by default 5."""
    downstream: tuple[Downstream, ...] = ("knn", "linear")
    """What judges: knn and linear on patches with labels, mil on slides or patients; the first
    one is drawn."""
    neighbours: int = Field(default=20, ge=1)
    """Neighbours that vote."""
    linear_lr: float | None = Field(default=None, gt=0)
    """Learning rate of the linear probe; by default 3 for vision transformers, else 0.1."""
    linear_epochs: int = Field(default=90, ge=1)
    """Passes of the linear probe."""
    standardise: bool = False
    """Bring each dimension to mean 0 and deviation 1 before the linear probe."""
    embed_batch: int = Field(default=64, ge=1)
    """Patches that are embedded at a time."""
    label: str = "label"
    """Of bags: name of the label in the archive's manifest, or the column of --labels."""
    labels: str | None = None
    """CSV file with the columns slide_id or patient, and the label of bags."""
    mil_model: Literal["abmil", "clam-sb", "clam-mb", "stamp-transformer", "mean"] = "abmil"
    """Model of bags."""
    mil_epochs: int | None = Field(default=None, ge=1)
    """Epochs of the model of bags at most; by default the model's."""

    @field_validator("fractions")
    @classmethod
    def _known_fractions(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(value == 1 for value in values):
            raise ValueError("the first row has all data already")
        return known_shares(values)[::-1] if values else ()

    @field_validator("layers", "strategies", "downstream")
    @classmethod
    def _once_each(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(values))

    @field_validator("downstream")
    @classmethod
    def _at_least_one(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise ValueError("name at least one of knn, linear, mil")
        return values
