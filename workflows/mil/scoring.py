"""What `mil evaluate` scores: a run's own test folds, or another cohort by its models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.mil.cohort import Labels, MilBag
from models.mil.crossval import gather
from models.mil.judge import Predictions, compare
from models.mil.predict import Prediction
from workflows.errors import UsageError
from workflows.mil.bags import Bags
from workflows.mil.folder import RunFolder
from workflows.mil.scores import prediction_row
from workflows.mil.trained import Trained
from workflows.units import plural


@dataclass(frozen=True)
class Scored:
    """Predictions to score.

    Attributes:
        record: of the run.
        mean: every bag once.
        folds: of each fold, or of each fold's model.
        bags: what there is, as JSON values.
        rows: for `predictions.csv`; none where it exists already.
        pairs: bags and what the models say of them; none of a run's own folds.
        notes: what a person must know.
    """

    record: dict[str, Any]
    mean: Predictions
    folds: Sequence[Predictions]
    bags: dict[str, Any]
    rows: Sequence[dict[str, Any]] = ()
    pairs: Sequence[tuple[MilBag, Prediction]] = field(default_factory=tuple)
    notes: Sequence[str] = ()


def own_folds(place: str) -> Scored:
    """Read the test predictions of a run.

    Raises:
        UsageError: there is no finished run.
    """
    folder = RunFolder(place)
    record = folder.record()
    classes = record["classes"]
    folds = [folder.read_predictions(classes, fold["fold"]) for fold in record["folds"]]
    return Scored(record, folder.read_predictions(classes), folds, record["bags"])


def other_cohort(
    trained: Trained,
    archives: Sequence[str],
    label: str | None,
    labels: Labels | None,
    on_bag: Callable[[int], None] = lambda total: None,
) -> Scored:
    """Predict the bags of archives by the models of every fold.

    Args:
        trained: the run.
        archives: paths or URLs.
        label: name of the label; None is as in training.
        labels: from a table, instead of the archives'.
        on_bag: called with the number of bags after each of them.

    Raises:
        BagError: slides lack the embeddings of the run's encoder.
        LabelsError: no bag has a label, or one has a label that is no class.
    """
    found = trained.bags(archives, label, labels)
    found.require_usable()
    predictions = []
    for prediction in trained.predict(found.usable):
        predictions.append(prediction)
        on_bag(len(found.usable))
    models = range(len(trained.models))
    return Scored(
        trained.record,
        gather(found.usable, [p.probabilities for p in predictions]),
        [gather(found.usable, [p.each[number] for p in predictions]) for number in models],
        found.document(),
        rows=_rows(found, predictions, trained.classes),
        pairs=list(zip(found.usable, predictions, strict=True)),
        notes=leak_notes(trained, found.usable),
    )


def _rows(
    found: Bags, predictions: Sequence[Prediction], classes: list[str]
) -> list[dict[str, Any]]:
    known = zip(found.usable, predictions, strict=True)
    rows = [prediction_row(bag, classes, p.probabilities, "mean") for bag, p in known]
    return rows + [prediction_row(bag, classes, None, "") for bag in found.empty]


def leak_notes(trained: Trained, bags: Sequence[MilBag]) -> list[str]:
    """Say that bags were trained on, where they were: such scores are too good."""
    seen = trained.seen(bags)
    if not seen:
        return []
    return [
        f"leaky: the models have learned from {plural(len(seen), 'bag')} of these, or from their "
        "patients, so what is said of them is too good"
    ]


def compare_runs(first: Scored, second: Scored, *, seed: int, resamples: int) -> dict[str, Any]:
    """Compare two runs on the same bags.

    Raises:
        UsageError: they know other classes.
        LabelsError: the bags, their labels or their patients differ.
    """
    if first.record["classes"] != second.record["classes"]:
        raise UsageError(
            f"the runs know other classes: {', '.join(first.record['classes'])} and "
            f"{', '.join(second.record['classes'])}"
        )
    return compare(first.mean, second.mean, seed=seed, resamples=resamples)
