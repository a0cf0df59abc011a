"""`microtome mil train`: classifiers of bags by cross-validation over patients."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from workflows.config import POSITIONAL, WorkflowConfig, config_hash
from workflows.extras import needs
from workflows.mil.folder import (
    CONFIG,
    FOLDS,
    FORMAT,
    METRICS,
    PREDICTIONS,
    RECORD,
    BagCounter,
    RunFolder,
    folds_csv,
    predictions_csv,
    read_folds,
)
from workflows.mil.labels import read_labels
from workflows.outcome import Outcome
from workflows.progress import ProgressCallback
from workflows.version import package_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from models.mil.crossval import FoldResult, Setup
    from models.mil.folds import Folds
    from workflows.mil.bags import Bags

PICTURES = 4
"""Slides that the report shows with their attention."""

MODEL_FIELDS = (
    "hidden_dim",
    "attention_dim",
    "dropout",
    "gated",
    "instance_loss",
    "instance_patches",
    "bag_weight",
    "subtyping",
    "mask_padding",
)
FIT_FIELDS = (
    "lr",
    "weight_decay",
    "epochs",
    "patience",
    "min_epochs",
    "batch",
    "max_patches",
    "monitor",
    "balance",
)


class MilTrainConfig(WorkflowConfig):
    """Train slide classifiers on bags of embeddings, one per fold of patients.

    Every bag is predicted by the model that has not seen its patient. The folder then holds the
    models, the folds, the predictions, the metrics and a report.
    """

    archives: Annotated[tuple[str, ...], POSITIONAL] = Field(min_length=1)
    """Paths or URLs of archives with embeddings."""
    encoder: str
    """Whose embeddings, as `microtome embed` named them."""
    out: str
    """Folder of the run, made where it does not exist."""
    label: str = "label"
    """Name of the label: in the archives, or the column of --labels."""
    labels: str | None = None
    """CSV file with the columns slide_id or patient, and the label; by default the archives'."""
    unit: Literal["auto", "slide", "patient"] = "auto"
    """What a bag is: a slide, or all slides of a patient; by default the patient where each has
    one label only."""
    model: Literal["abmil", "clam-sb", "clam-mb", "stamp-transformer", "mean"] = "abmil"
    """Model of bags."""
    folds: int = Field(default=5, ge=2, le=100)
    """Folds of patients, stratified by class; each is the test part once."""
    folds_file: str | None = None
    """folds.csv of another run, to compare encoders or models on identical folds."""
    validation: float = Field(default=0.25, gt=0, lt=1)
    """Share of a fold's other patients that decide on stopping."""
    seed: int = Field(default=1337, ge=0)
    """Of folds, weights, order and dropout; the same seed gives the same files on the CPU."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; this and the options below are the model's own by default."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay of Adam."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs at most."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without improvement after which training stops."""
    min_epochs: int | None = Field(default=None, ge=0)
    """Epochs before which it does not stop."""
    batch: int | None = Field(default=None, ge=1)
    """Bags per step."""
    max_patches: int | None = Field(default=None, ge=1)
    """Patches drawn at random from a bag in training; validation and test take all."""
    monitor: Literal["loss", "auroc"] | None = None
    """What decides on stopping and on the weights that are kept, on the validation part."""
    balance: Literal["weights", "sampling", "none"] | None = None
    """Against rare classes: weights in the loss (inverse frequency), weighted sampling, nothing."""
    hidden_dim: int | None = Field(default=None, ge=8)
    """Width after the first layer."""
    attention_dim: int | None = Field(default=None, ge=1)
    """Width of the attention's inner layer; 384 is CLAM's "big"."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout after the first layer, and in CLAM's attention."""
    gated: bool | None = None
    """Gated attention in abmil."""
    instance_loss: Literal["cross-entropy", "svm"] | None = None
    """CLAM's loss of single patches; svm is the smooth top-1 SVM."""
    instance_patches: int | None = Field(default=None, ge=1)
    """Patches at each end of the attention that CLAM learns from; half of a smaller bag."""
    bag_weight: float | None = Field(default=None, ge=0, le=1)
    """Share of the bag's loss in CLAM's loss."""
    subtyping: bool | None = None
    """CLAM: classes exclude each other."""
    mask_padding: bool | None = None
    """stamp-transformer: leave padding out; --no-mask-padding is as its authors trained it."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:1."""
    keep_gb: float = Field(default=4.0, ge=0)
    """Memory for embeddings that are kept between epochs; the rest is read each time."""
    resamples: int = Field(default=1000, ge=1)
    """Bootstrap resamples of patients behind each interval."""
    pictures: int = Field(default=PICTURES, ge=0)
    """Slides that the report shows with their attention."""
    overwrite: bool = False
    """Replace a finished run in the folder."""


def run(config: MilTrainConfig, progress: ProgressCallback) -> Outcome:
    """Train, test and write the run.

    Raises:
        UsageError: an option, a table or the folder is wrong.
        BagError: slides lack the embeddings.
        LabelsError: there are too few patients of a class.
        NumericsError: embeddings or losses are NaN or infinite.
        StoreError: an archive cannot be read.
    """
    started = time.monotonic()
    with needs("models"):
        from models.mil.crossval import cross_validate
        from workflows.mil.report import write_train_report
    bags = _read(config)
    folds = _folds(config, bags)
    setup = _setup(config, bags)
    folder = RunFolder(config.out)
    folder.start(overwrite=config.overwrite)
    folder.write_json(CONFIG, config.model_dump(mode="json"))
    folder.write(FOLDS, folds_csv(folds))
    about = _about(config, setup, bags) | {"name": folder.name}
    counter = BagCounter(progress, started)
    counter.add(len(bags.usable), 0)
    results = []
    for result in cross_validate(bags.usable, folds, setup):
        _save_model(folder, result, about)
        counter.add(len(bags.usable), len(result.bags))
        results.append(result)
    document = about | _judged(config, results) | {"folder": str(folder.path)}
    document["seconds"] = round(time.monotonic() - started, 3)
    folder.write(METRICS, _metrics(results))
    folder.write(PREDICTIONS, predictions_csv(bags.classes, _rows(bags, results)))
    document["report"] = write_train_report(folder, document, results, config.pictures)
    folder.write_json(RECORD, document)
    return Outcome(document)


def _read(config: MilTrainConfig) -> "Bags":
    from workflows.mil.bags import read_bags

    labels = None if config.labels is None else read_labels(config.labels, config.label)
    unit = None if config.unit == "auto" else config.unit
    bags = read_bags(config.archives, config.encoder, config.label, labels, unit=unit)
    bags.require_usable()
    return bags


def _folds(config: MilTrainConfig, bags: "Bags") -> "Folds":
    from models.mil.folds import make_folds, patient_labels

    if config.folds_file is not None:
        return read_folds(config.folds_file)
    labels = patient_labels((bag.patient, bag.label) for bag in bags.usable)
    return make_folds(labels, config.folds, seed=config.seed, validation=config.validation)


def _setup(config: MilTrainConfig, bags: "Bags") -> "Setup":
    from models.mil.crossval import Setup
    from models.mil.device import choose_device
    from models.mil.recipes import RECIPES, model_class
    from models.mil.source import BagSource

    with needs("models"):
        model_class(config.model)  # torchmil, for some
    model = {name: getattr(config, name) for name in MODEL_FIELDS}
    fit = {name: getattr(config, name) for name in FIT_FIELDS}
    return Setup(
        RECIPES[config.model].changed(model, fit),
        bags.usable[0].slides[0].bag.dim,
        len(bags.classes),
        BagSource(int(config.keep_gb * 1e9)),
        config.seed,
        choose_device(config.device),
    )


def _about(config: MilTrainConfig, setup: "Setup", bags: "Bags") -> dict[str, Any]:
    """What is known before any training."""
    packages = ("microtome", "torch", "torchmil", "numpy")
    return {
        "format": FORMAT,
        "identity": config_hash(config),
        "model": asdict(setup.recipe.model),
        "fit": asdict(setup.recipe.fit),
        "dim": setup.dim,
        "classes": list(bags.classes),
        "encoder": config.encoder,
        "card": bags.usable[0].slides[0].bag.card.document(),
        "encoder_identity": bags.encoder,
        "unit": bags.unit,
        "label": config.label,
        "seed": config.seed,
        "device": setup.device.type,
        "archives": list(config.archives),
        "bags": bags.document(),
        "slides": sorted(row.slide_id for bag in bags.usable for row in bag.slides),
        "notes": [],
        "comparison": None,
        "versions": {name: package_version(name) for name in packages},
    }


def _save_model(folder: RunFolder, result: "FoldResult", about: dict[str, Any]) -> None:
    from models.mil.checkpoint import save_checkpoint

    kept = ("model", "fit", "dim", "classes", "encoder", "card", "unit", "seed", "versions")
    told = {name: about[name] for name in kept}
    told |= {"fold": result.number, "epoch": result.fit.best_epoch}
    save_checkpoint(folder.weights(result.number), result.fit.state, told)


def _judged(config: MilTrainConfig, results: "Sequence[FoldResult]") -> dict[str, Any]:
    from models.mil.judge import per_class_scores
    from workflows.mil.scores import of_fold, pool, scores_document

    folds = [of_fold(result) for result in results]
    scores = scores_document(pool(results), folds, config.seed, config.resamples)
    told = [
        {
            "fold": result.number,
            "bags": dict(result.sizes),
            "epochs": len(result.fit.history),
            "best_epoch": result.fit.best_epoch,
            "auroc": per_class_scores(found)["macro_auroc"][0],
        }
        for result, found in zip(results, folds, strict=True)
    ]
    return {"folds": told, "scores": scores}


def _metrics(results: "Iterable[FoldResult]") -> str:
    """One line per epoch."""
    lines = [
        json.dumps({"fold": result.number} | asdict(epoch))
        for result in results
        for epoch in result.fit.history
    ]
    return "\n".join(lines) + "\n"


def _rows(bags: "Bags", results: "Iterable[FoldResult]") -> "Iterator[dict[str, Any]]":
    """Rows of `predictions.csv`: every tested bag, then the empty ones."""
    from workflows.mil.scores import prediction_row

    for result in results:
        for bag, found in zip(result.bags, result.predictions, strict=True):
            yield prediction_row(bag, bags.classes, found.probabilities, result.number)
    for bag in bags.empty:
        yield prediction_row(bag, bags.classes, None, "")
