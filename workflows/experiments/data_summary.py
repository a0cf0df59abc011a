"""From the cells of the data-efficiency experiment to the rows of its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workflows.experiments.cells import CellStore, Document, Result
from workflows.experiments.data import DataTrials
from workflows.experiments.data_config import Downstream
from workflows.experiments.data_rows import Row, rows_of
from workflows.experiments.pooling import Prediction, contrast, pool

BySeed = Mapping[int, Result]

NO_WEIGHTS = "no weights given"


def summarise(trials: DataTrials, store: CellStore) -> Document:
    """Give JSON values: rows with pooled scores and differences to the first, and what failed."""
    cells = trials.cells
    read = {cell: store.read(cell.name) for cell in cells}
    failed = [store.failure(cell.name) for cell, found in read.items() if found is None]
    found: dict[str, dict[int, Result]] = {}
    for cell, result in read.items():
        if result is not None:
            found.setdefault(cell.row.slug, {})[cell.seed] = result
    rows = rows_of(trials.config)
    base = found.get(rows[0].slug, {})
    return {
        "judges": list(trials.config.downstream),
        "seeds": list(trials.config.seeds),
        "rows": [_row(trials, row, found.get(row.slug, {}), base) for row in rows],
        "failed": [line for line in failed if line is not None],
        "cell_seconds": sum(
            result.document["seconds"] for each in found.values() for result in each.values()
        ),
    }


def _row(trials: DataTrials, row: Row, results: BySeed, base: BySeed) -> Document:
    given = row.method is not None or row.weights is not None
    both = [seed for seed in results if seed in base]
    documents = [result.document for result in results.values()]
    return {
        "number": row.number,
        "kind": row.kind,
        "name": row.words,
        "method": row.method,
        "fraction": row.fraction if row.method else None,
        "layer": row.layer,
        "remark": "" if given else NO_WEIGHTS,
        "seeds": list(results),
        "missing": [seed for seed in trials.config.seeds if seed not in results],
        "dim": documents[0]["encoder"]["dim"] if documents else None,
        "patches": [one["pretext"]["data"]["patches"] for one in documents if one["pretext"]],
        "scores": _scores(trials, list(results.values())),
        "differences": _differences(trials, row, results, base, both),
        "pretraining": _spent(results, base, both),
    }


def _scores(trials: DataTrials, results: Sequence[Result]) -> Document:
    if not results:
        return {}
    found: Document = {}
    for judge, truth in trials.truths.items():
        scores = pool(truth, _kept(results, judge), **_resampling(trials))
        found[judge] = {name: one.document() if one else None for name, one in scores.items()}
    return found


def _differences(
    trials: DataTrials, row: Row, results: BySeed, base: BySeed, both: Sequence[int]
) -> Document:
    """Compare with the first row on the same test rows and resamples, by the seeds of both."""
    if row.kind == "baseline" or not both:
        return {}
    sides = [[side[seed] for seed in both] for side in (results, base)]
    found: Document = {}
    for judge, truth in trials.truths.items():
        pair = _kept(sides[0], judge), _kept(sides[1], judge)
        found[judge] = contrast(truth, pair, **_resampling(trials))
    return found


def _kept(results: Sequence[Result], judge: Downstream) -> list[Prediction]:
    return [Prediction.kept(result.arrays, f"{judge}_") for result in results]


def _spent(results: BySeed, base: BySeed, both: Sequence[int]) -> dict[str, Any] | None:
    """Give the mean seconds of pretraining, and their share of the first row's, same seeds."""
    pairs = [(results[seed].document["pretext"], base[seed].document["pretext"]) for seed in both]
    known = [(own["seconds"], other["seconds"]) for own, other in pairs if own and other]
    if not known:
        return None
    own, other = (float(np.mean(side)) for side in zip(*known, strict=True))
    return {"seconds": own, "share": own / other if other else 1.0}


def _resampling(trials: DataTrials) -> dict[str, int]:
    return {"seed": trials.config.resample_seed, "resamples": trials.config.resamples}
