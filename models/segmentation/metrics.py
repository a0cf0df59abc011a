"""How good class maps are: from confusion matrices, with and without background (METHODS 10.6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import LabelsError, MismatchError
from models.scores import Interval, bootstrap_each
from models.scores.weighted import Floats
from models.segmentation.settings import NO_MASK

Counts = NDArray[np.int64]
ScoreName = Literal["miou", "fwiou", "pixel_accuracy", "mean_accuracy"]


@dataclass(frozen=True, slots=True)
class SegmentScores:
    """Scores of one confusion matrix; None where a score is not defined.

    Attributes:
        iou: of each class: pixels that truth and prediction share, of those that either has.
        recall: of each class: share of its pixels that are found.
        miou: mean of `iou` over classes that truth or prediction has.
        fwiou: sum of `iou`, each weighted by its class's share of the true pixels.
        pixel_accuracy: share of pixels whose class is right.
        mean_accuracy: mean of `recall` over classes that truth has.
    """

    iou: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    miou: float | None
    fwiou: float | None
    pixel_accuracy: float | None
    mean_accuracy: float | None


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int) -> Counts:
    """Count pixels by true class (rows) and predicted class (columns), (C + 1, C + 1).

    The last row and column are of background, or of no class. Pixels whose truth is 255 have no
    mask and are not counted.

    Args:
        truth: class of each pixel, C for background, any shape.
        predicted: of the same shape.
        classes: C.

    Raises:
        MismatchError: shapes differ.
        LabelsError: there is a class above C.
    """
    true, guess = np.asarray(truth), np.asarray(predicted)
    if true.shape != guess.shape:
        raise MismatchError(
            f"the true mask is {true.shape}, the predicted one {guess.shape}; masks and patches "
            "must have one size"
        )
    known = true != NO_MASK
    true, guess = true[known].astype(np.int64), guess[known].astype(np.int64)
    for what, values in (("true", true), ("predicted", guess)):
        if values.size and not 0 <= values.min() <= values.max() <= classes:
            worst = values.max() if values.max() > classes else values.min()
            raise LabelsError(
                f"a {what} mask holds class {worst}; of {classes} classes there are 0 to "
                f"{classes - 1}, and {classes} for background"
            )
    side = classes + 1
    counts = np.bincount(true * side + guess, minlength=side * side)
    return np.asarray(counts.reshape(side, side), np.int64)


def score(matrix: ArrayLike, *, background: bool = False) -> SegmentScores:
    """Score one confusion matrix of `confusion`.

    Args:
        matrix: (C + 1, C + 1).
        background: count it as a class; else pixels whose truth is background change nothing, and
            others that are predicted as background are wrong.
    """
    found = _scores(np.asarray(matrix, np.float64)[None], background=background)
    return SegmentScores(
        iou=tuple(_known(one) for one in found["iou"][0]),
        recall=tuple(_known(one) for one in found["recall"][0]),
        **{name: _known(found[name][0]) for name in get_args(ScoreName)},
    )


def score_over_patients(
    matrices: ArrayLike,
    patients: Sequence[str],
    *,
    seed: int,
    background: bool = False,
    resamples: int = 1000,
) -> dict[str, Interval | None]:
    """Give the scores of all images together, with intervals over resampled patients.

    Args:
        matrices: of each image, (N, C + 1, C + 1).
        patients: of each image, N.
        seed: of the resamples.
        background: as for `score`.
        resamples: how many.

    Returns:
        By name: those of `ScoreName`, and `iou_<number>` per class; None where not defined.
    """
    every = np.asarray(matrices, np.float64)
    rows = every.reshape(len(every), -1)
    side = every.shape[-1]

    def scores(weights: Floats) -> dict[str, Floats]:
        summed = (weights @ rows).reshape(-1, side, side)
        return _scores(summed, background=background)

    def interval(name: str, column: int | None = None) -> Interval | None:
        def one(weights: Floats) -> Floats:
            found = scores(weights)[name]
            return found if column is None else found[:, column]

        return bootstrap_each(one, patients, seed=seed, resamples=resamples)

    counted = side if background else side - 1
    told = {name: interval(name) for name in get_args(ScoreName)}
    return told | {f"iou_{k}": interval("iou", k) for k in range(counted)}


def _scores(matrices: Floats, *, background: bool) -> dict[str, Floats]:
    """Score many matrices (R, C + 1, C + 1): `iou`, `recall` (R, K), others (R,); NaN undefined."""
    counted = matrices.shape[-1] - (0 if background else 1)
    rows = matrices[:, :counted]  # pixels whose truth counts
    true = rows.sum(axis=2)
    right = rows[:, np.arange(counted), np.arange(counted)]
    either = true + rows[:, :, :counted].sum(axis=1) - right
    total = true.sum(axis=1)
    iou, recall = _divide(right, either), _divide(right, true)
    share = _divide(true, np.repeat(total[:, None], counted, axis=1))
    weighted = np.where(total > 0, (np.nan_to_num(iou) * np.nan_to_num(share)).sum(axis=1), np.nan)
    return {
        "iou": iou,
        "recall": recall,
        "miou": _nan_mean(iou),
        "fwiou": np.asarray(weighted, np.float64),
        "pixel_accuracy": _divide(right.sum(axis=1), total),
        "mean_accuracy": _nan_mean(recall),
    }


def _divide(above: Floats, below: Floats) -> Floats:
    out = np.full(below.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _nan_mean(values: Floats) -> Floats:
    """Mean of each row's numbers; NaN where it has none."""
    known = ~np.isnan(values)
    return _divide(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
