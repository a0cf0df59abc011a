"""Scores of one setting over several seeds, and two settings on the same resamples of patients.

A score is the mean over seeds, each a training of its own tested on the same rows. Its deviation
is that over seeds (n - 1 below). Its interval comes from resampled patients: in every resample
each seed is scored on the same patients and the mean over seeds is taken, so it says how much the
score depends on who is tested, while the deviation says how much it depends on the training.
Differences are taken resample by resample, and seed by seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from models.probe.judge import FURTHER, SCORES, Further
from models.probe.judge import Metric as Ranked
from models.scores import Comparison, Interval, bootstrap_each, paired_bootstrap_each
from models.scores.resampling import ScoreEach
from models.scores.weighted import Floats

Metric = Literal["loss", "accuracy", "balanced_accuracy", "macro_auroc"]
METRICS: tuple[Metric, ...] = get_args(Metric)
RANKED = METRICS[1:]
"""Without the loss."""

Indices = NDArray[np.int64]
Document = dict[str, Any]


@dataclass(frozen=True)
class Truth:
    """What is tested, m rows.

    Attributes:
        labels: class of each, (m,).
        patients: of each, (m,); whatever can be sorted.
        further: scores that are given beside the usual ones.
    """

    labels: Indices
    patients: NDArray[Any]
    further: tuple[Further, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What one training says of the rows.

    Attributes:
        probabilities: (m, C).
        loss: minus the log of the true class's probability, (m,); None where it has no meaning,
            as of votes, which may all be for other classes.
    """

    probabilities: Floats
    loss: Floats | None = None

    def arrays(self, prefix: str = "") -> dict[str, Floats]:
        """Give what is kept of it."""
        found = {f"{prefix}probabilities": self.probabilities}
        return found if self.loss is None else found | {f"{prefix}loss": self.loss}

    @classmethod
    def kept(cls, arrays: Mapping[str, Floats], prefix: str = "") -> "Prediction":
        """Read what was kept of it."""
        return cls(arrays[f"{prefix}probabilities"], arrays.get(f"{prefix}loss"))


@dataclass(frozen=True)
class Pooled:
    """A score over seeds.

    Attributes:
        seeds: how many.
        sd: over seeds; None of one.
        interval: of the mean, over patients.
    """

    seeds: int
    sd: float | None
    interval: Interval

    def document(self) -> Document:
        """Give JSON values; `value` is the mean."""
        return {"seeds": self.seeds, "sd": self.sd, **asdict(self.interval)}


def pool(
    truth: Truth,
    predictions: Sequence[Prediction],
    *,
    seed: int,
    resamples: int,
) -> dict[str, Pooled | None]:
    """Give every score over seeds; None where it is not defined.

    Args:
        truth: the rows.
        predictions: one per seed, at least one.
        seed: of the resamples.
        resamples: of whole patients.
    """
    names: tuple[str, ...] = METRICS if all(one.loss is not None for one in predictions) else RANKED
    return {
        name: _pooled(name, truth, predictions, seed, resamples)
        for name in (*names, *truth.further)
    }


def contrast(
    truth: Truth,
    pair: tuple[Sequence[Prediction], Sequence[Prediction]],
    *,
    seed: int,
    resamples: int,
) -> dict[str, Document | None]:
    """Compare two settings on the same patients; JSON values, None where it is not defined.

    Args:
        truth: the rows.
        pair: predictions of each, one per seed and the same seeds in the same order.
        seed: of the resamples.
        resamples: of whole patients.
    """
    found: dict[str, Document | None] = {}
    known = all(one.loss is not None for many in pair for one in many)
    usual: tuple[str, ...] = METRICS if known else RANKED
    for name in (*usual, *truth.further):
        each = [[_score(name, truth, one) for one in many] for many in pair]
        compared = paired_bootstrap_each(
            _mean(each[0]), _mean(each[1]), truth.patients, seed=seed, resamples=resamples
        )
        whole = np.ones((1, len(truth.labels)))
        by_seed = [
            float((first(whole) - second(whole))[0]) for first, second in zip(*each, strict=True)
        ]
        found[name] = None if compared is None else _told(compared, by_seed)
    return found


def _told(compared: Comparison, by_seed: Sequence[float]) -> Document:
    return {
        "difference": compared.difference.document(),
        "p": compared.p,
        "sd": _deviation(by_seed),
        "seeds": len(by_seed),
    }


def _pooled(
    name: str, truth: Truth, predictions: Sequence[Prediction], seed: int, resamples: int
) -> Pooled | None:
    each = [_score(name, truth, one) for one in predictions]
    found = bootstrap_each(_mean(each), truth.patients, seed=seed, resamples=resamples)
    if found is None:
        return None
    whole = np.ones((1, len(truth.labels)))
    return Pooled(len(each), _deviation([float(score(whole)[0]) for score in each]), found)


def _score(name: str, truth: Truth, one: Prediction) -> ScoreEach:
    if name == "macro_f1":
        return FURTHER["macro_f1"](truth.labels, one.probabilities)
    loss = one.loss
    if name != "loss" or loss is None:
        return SCORES[cast("Ranked", name)](truth.labels, one.probabilities)
    return lambda weights: np.asarray(weights @ loss / weights.sum(axis=1), np.float64)


def _mean(scores: Sequence[ScoreEach]) -> ScoreEach:
    return lambda weights: np.mean([score(weights) for score in scores], axis=0)


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
