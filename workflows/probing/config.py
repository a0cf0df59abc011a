"""The config of `microtome probe`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from workflows.config import POSITIONAL, WorkflowConfig

Probe = Literal["knn", "linear", "finetune"]


class ProbeConfig(WorkflowConfig):
    """Judge encoders by kNN, linear probe and fine-tuning on labelled patches.

    Nearest neighbours and the linear probe read embeddings that `microtome embed` has stored;
    fine-tuning trains the encoder itself on the patches. Scores carry 95 % intervals over resampled
    patients; encoders are compared on the same resamples.
    """

    archive: Annotated[str, POSITIONAL]
    """Path or URL of an archive whose patches have labels."""
    encoder: tuple[str, ...] = Field(min_length=1)
    """IDs of stored embeddings; to fine-tune, also names of encoders without embeddings."""
    out: str
    """Folder of the run: config.json, metrics.jsonl, scores.csv, report.html, linear probes."""
    probe: tuple[Probe, ...] = ("knn", "linear")
    """What to train: knn, linear, finetune."""
    labels: Literal["patch", "slide"] = "patch"
    """Whose class is learned: the patches' own, or that of their slide in the manifest."""
    fractions: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0)
    """Shares of the training labels, each part of the next larger one."""
    fraction_unit: Literal["slide", "patient", "patch"] = "slide"
    """What a share is made of; of every class alike."""
    split: Literal["auto", "manifest", "patient", "patch"] = "auto"
    """By the manifest's column split (auto, where there is one), or at random by patient; by patch
    only when asked for: neighbours then are on both sides, and the result is marked leaky."""
    train_split: str = "train"
    """Name of the manifest's split that teaches."""
    test_split: str = "test"
    """Name of the manifest's split that tests; all others are not touched."""
    test_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the patients, or patches, that test where the split is at random."""
    seed: int = Field(default=0, ge=0)
    """Of split, shares, first weights, order and resamples."""
    resamples: int = Field(default=1000, ge=1, le=1_000_000)
    """Resamples of the patients for the intervals."""
    neighbours: int = Field(default=20, ge=1)
    """Neighbours that vote."""
    temperature: float = Field(default=0.07, gt=0)
    """Of the neighbours' weights, exp(cosine / temperature)."""
    linear_rate: float | None = Field(default=None, gt=0)
    """Learning rate for a batch of 256; by default 3 for vision transformers, else 0.1."""
    linear_batch: int = Field(default=1024, ge=1)
    """Rows of a step of the linear probe."""
    linear_epochs: int = Field(default=90, ge=1)
    """Passes of the linear probe."""
    standardise: bool = False
    """Bring each dimension to mean 0 and deviation 1 before the linear probe."""
    weights: tuple[str, ...] = ()
    """Weights to fine-tune from, as ENCODER=WEIGHTS each: a file, or random:SEED."""
    finetune_epochs: int = Field(default=100, ge=1)
    """Passes of fine-tuning; the epoch of the lowest loss on held-out training patients is kept."""
    finetune_batch: int = Field(default=64, ge=2)
    """Patches of a step of fine-tuning."""
    finetune_rate: float = Field(default=1e-4, gt=0)
    """Learning rate of fine-tuning (Adam)."""
    finetune_px: int | None = Field(default=None, ge=8)
    """Side that patches are brought to for fine-tuning; by default the encoder's own."""
    save_encoders: bool = False
    """Keep fine-tuned encoders in the run's folder; `microtome embed --weights` reads them."""
    device: str = "auto"
    """Where to fine-tune: auto, cpu, cuda, cuda:1."""
    overwrite: bool = False
    """Replace the run that the folder holds."""

    @field_validator("fractions")
    @classmethod
    def _known_fractions(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or any(not 0 < value <= 1 for value in values):
            raise ValueError("every fraction must be above 0 and at most 1")
        return tuple(sorted(set(values)))

    @field_validator("encoder", "probe")
    @classmethod
    def _once_each(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(values))

    @field_validator("weights")
    @classmethod
    def _named_weights(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not all(value.partition("=")):
                raise ValueError("weights are given as ENCODER=WEIGHTS")
        return values
