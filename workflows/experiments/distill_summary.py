"""From the cells of the distillation experiment to the rows of its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workflows.experiments.cells import CellStore, Document, Result
from workflows.experiments.distill import DistillTrials
from workflows.experiments.distill_cells import DistillRow, rows_of
from workflows.experiments.pooling import Prediction, contrast, pool

BySeed = Mapping[int, Result]

AGAINST = {"round": "initial", "supervised": "last", "ablation": "last"}
"""What rows of a kind are compared with: the initial model, or the last round."""


def summarise(trials: DistillTrials, store: CellStore) -> Document:
    """Give JSON values: rows with pooled scores and differences, and what failed."""
    read = {cell: store.read(cell.name) for cell in trials.cells}
    failed = [store.failure(cell.name) for cell, found in read.items() if found is None]
    found: dict[str, dict[int, Result]] = {}
    for cell, result in read.items():
        if result is not None:
            found.setdefault(cell.row.slug, {})[cell.seed] = result
    return {
        "seeds": list(trials.config.seeds),
        "rows": [_row(trials, row, found) for row in rows_of(trials.config)],
        "failed": [line for line in failed if line is not None],
        "cell_seconds": sum(
            result.document["seconds"] for each in found.values() for result in each.values()
        ),
    }


def _row(trials: DistillTrials, row: DistillRow, found: Mapping[str, BySeed]) -> Document:
    results = found.get(row.slug, {})
    slug = {"initial": "initial", "last": f"round{trials.config.folds}"}
    other = slug.get(AGAINST.get(row.kind, ""), "")
    base = found.get(other, {})
    both = [seed for seed in results if seed in base]
    documents = [result.document for result in results.values()]
    seconds = [one["training_seconds"] for one in documents]
    return {
        "number": row.number,
        "kind": row.kind,
        "name": row.words,
        "seeds": list(results),
        "missing": [seed for seed in trials.config.seeds if seed not in results],
        "patches": [one["patches"] for one in documents],
        "labelled": [one["parts"]["labelled"]["patches"] for one in documents],
        "steps": [one["steps"] for one in documents],
        "seconds": float(np.mean(seconds)) if seconds else None,
        "scores": _scores(trials, list(results.values())),
        "against": other,
        "differences": _differences(trials, results, base, both),
    }


def _scores(trials: DistillTrials, results: Sequence[Result]) -> Document:
    if not results:
        return {}
    scores = pool(trials.truth, _kept(results), **_resampling(trials))
    return {name: one.document() if one else None for name, one in scores.items()}


def _differences(
    trials: DistillTrials, results: BySeed, base: BySeed, both: Sequence[int]
) -> Document:
    """Compare with another row on the same test rows and resamples, by the seeds of both."""
    if not both:
        return {}
    first, second = (_kept([side[seed] for seed in both]) for side in (results, base))
    return contrast(trials.truth, (first, second), **_resampling(trials))


def _kept(results: Sequence[Result]) -> list[Prediction]:
    return [Prediction.kept(result.arrays) for result in results]


def _resampling(trials: DistillTrials) -> dict[str, Any]:
    return {"seed": trials.config.resample_seed, "resamples": trials.config.resamples}
