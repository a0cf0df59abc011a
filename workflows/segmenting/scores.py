"""Scores of segmentation as JSON values and as a table of pixels."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from models.scores import bootstrap_each
from models.segmentation.metrics import ScoreName, score, score_over_patients
from workflows.segmenting.scoring import Counted, Tally

if TYPE_CHECKING:
    from models.scores import Interval
    from models.scores.weighted import Floats

WAYS = ("cam", "segmenter", "gated")
COLUMNS = ("prediction", "white", "truth")


def scores_document(counted: Counted, *, seed: int, resamples: int) -> dict[str, Any]:
    """Score every way, in the order of `WAYS`, with intervals over resampled patients.

    Returns:
        By way: `without_background` and, where white is background, `with_background`, each with
        `miou`, `fwiou`, `pixel_accuracy`, `mean_accuracy` and, by class, `iou` and `recall`; and
        the `confusion` of both, rows by true class, the last of background.
    """
    settings = {"seed": seed, "resamples": resamples}
    found: dict[str, Any] = {}
    for way in WAYS:
        if way not in counted.tallies:
            continue
        plain, white = counted.tallies[way], counted.whitened.get(way)
        found[way] = {
            "without_background": _scores(plain, background=False, **settings),
            "with_background": None
            if white is None
            else _scores(white, background=True, **settings),
            "confusion": total(plain).tolist(),
            "confusion_with_background": None if white is None else total(white).tolist(),
        }
    return found


def total(tally: Tally) -> Any:
    """Sum the pixels of all patients, (C + 1, C + 1)."""
    return np.sum(list(tally.values()), axis=0)


def patch_document(counted: Counted, *, seed: int, resamples: int) -> dict[str, Any] | None:
    """Score stage 1 on whole patches; None where nothing is known of them."""
    if not counted.agreement:
        return None
    sums = np.stack(list(counted.agreement.values()))  # (P, 3)
    patients = list(counted.agreement)

    def interval(column: int) -> dict[str, Any] | None:
        def one(weights: "Floats") -> "Floats":
            return np.asarray((weights @ sums[:, column]) / (weights @ sums[:, 0]), np.float64)

        return _told(bootstrap_each(one, patients, seed=seed, resamples=resamples))

    return {
        "patches": int(sums[:, 0].sum()),
        "labels": sorted(counted.labels),
        "exact": interval(1),
        "jaccard": interval(2),
    }


def confusion_csv(scores: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Give all confusion matrices as CSV: a line per prediction and true class, in pixels."""
    names = [*classes, "background"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for way, known in scores.items():
        for white, key in (("tissue", "confusion"), ("background", "confusion_with_background")):
            for name, row in zip(names, known[key] or (), strict=False):
                writer.writerow([way, white, name, *row])
    return text.getvalue()


def _scores(tally: Tally, *, background: bool, seed: int, resamples: int) -> dict[str, Any]:
    matrices, patients = np.stack(list(tally.values())), list(tally)
    found = score_over_patients(
        matrices, patients, seed=seed, background=background, resamples=resamples
    )
    counted = matrices.shape[-1] - (0 if background else 1)
    whole = {name: _told(found[name]) for name in get_args(ScoreName)}
    iou = [_told(found[f"iou_{k}"]) for k in range(counted)]
    return whole | {"iou": iou, "recall": list(score(total(tally), background=background).recall)}


def _told(found: "Interval | None") -> dict[str, Any] | None:
    return None if found is None else found.document()
