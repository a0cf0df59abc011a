"""Scores of a MIL run as JSON values, and rows of predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models.mil.crossval import FoldResult, gather
from models.mil.judge import (
    OVERALL,
    PER_CLASS,
    Predictions,
    score_over_folds,
    score_over_patients,
)

if TYPE_CHECKING:
    from models.mil.cohort import MilBag
    from models.mil.predict import Floats
    from models.scores import Interval


def of_fold(result: FoldResult) -> Predictions:
    """Give the test bags of a fold as one table."""
    return gather(result.bags, [found.probabilities for found in result.predictions])


def pool(results: Sequence[FoldResult]) -> Predictions:
    """Give the test bags of all folds as one table."""
    bags = [bag for result in results for bag in result.bags]
    return gather(bags, [found.probabilities for result in results for found in result.predictions])


def scores_document(
    all_bags: Predictions, folds: Sequence[Predictions], seed: int, resamples: int
) -> dict[str, Any]:
    """Score predictions: mean over folds (Student's t) and all bags (bootstrap over patients).

    Args:
        all_bags: every bag once.
        folds: of each fold, or of each fold's model.
        seed: of the resamples.
        resamples: how many.

    Returns:
        `per_class` and `overall`: `{score: {over_folds, over_patients}}`, in lists by class for
        the first, with intervals or None; `confusion`; the numbers of bags and patients.
    """
    over_folds = score_over_folds(folds)
    over_patients = score_over_patients(all_bags, seed=seed, resamples=resamples)

    def both(name: str, number: int) -> dict[str, Any]:
        return {
            "over_folds": _told(over_folds[name][number]),
            "over_patients": _told(over_patients[name][number]),
        }

    classes = range(all_bags.probabilities.shape[1])
    return {
        "per_class": {name: [both(name, number) for number in classes] for name in PER_CLASS},
        "overall": {name: both(name, 0) for name in OVERALL},
        "confusion": all_bags.confusion(),
        "bags": len(all_bags.names),
        "patients": len(set(all_bags.patients)),
        "resamples": resamples,
    }


def _told(found: "Interval | None") -> dict[str, Any] | None:
    return None if found is None else found.document()


def prediction_row(
    bag: "MilBag", classes: Sequence[str], probabilities: "Floats | None", fold: int | str
) -> dict[str, Any]:
    """Give one row of `predictions.csv`; a bag without patches has no probabilities."""
    return {
        "fold": fold,
        "bag": bag.name,
        "patient": bag.patient,
        "patches": len(bag),
        "label": classes[bag.label] if bag.label >= 0 else "",
        "predicted": "" if probabilities is None else classes[int(probabilities.argmax())],
        "probabilities": None if probabilities is None else [float(p) for p in probabilities],
    }
