"""From the cells of the label-efficiency experiment to its scores and comparisons."""

from collections.abc import Iterator, Sequence
from typing import Any

from workflows.experiments.cells import CellStore, Document, Result
from workflows.experiments.label import LabelTrials
from workflows.experiments.label_cells import LabelCell
from workflows.experiments.label_config import SUPERVISED
from workflows.experiments.pooling import Prediction, contrast, pool

Found = dict[LabelCell, Result]


def summarise(trials: LabelTrials, store: CellStore) -> Document:
    """Give JSON values: settings with pooled scores, comparisons, cells, and what failed."""
    cells = trials.cells
    read = {cell: store.read(cell.name) for cell in cells}
    found = {cell: result for cell, result in read.items() if result is not None}
    failed = [store.failure(cell.name) for cell in cells if cell not in found]
    config = trials.config
    keys = [(method, fraction) for method in config.chosen_methods for fraction in config.fractions]
    asked = [key for key in keys if any((c.method, c.fraction) == key for c in cells)]
    return {
        "methods": list(config.chosen_methods),
        "fractions": list(config.fractions),
        "seeds": list(config.seeds),
        "settings": [_setting(trials, found, *key) for key in asked],
        "comparisons": list(_comparisons(trials, found)),
        "cells": [_cell(cell, found[cell]) for cell in cells if cell in found],
        "failed": [line for line in failed if line is not None],
        "cell_seconds": sum(result.document["seconds"] for result in found.values()),
    }


def _of(found: Found, method: str, fraction: float) -> dict[int, Result]:
    """Results of one setting by seed."""
    return {
        cell.seed: result
        for cell, result in found.items()
        if (cell.method, cell.fraction) == (method, fraction)
    }


def _setting(trials: LabelTrials, found: Found, method: str, fraction: float) -> Document:
    results = _of(found, method, fraction)
    counts = [result.document["train"] for result in results.values()]
    untaught = {name for result in results.values() for name in result.document["untaught"]}
    return {
        "method": method,
        "fraction": fraction,
        "seeds": list(results),
        "missing": [seed for seed in trials.config.seeds if seed not in results],
        "train": {unit: [count[unit] for count in counts] for unit in ("patches", "patients")},
        "untaught": sorted(untaught),
        "scores": _pooled(trials, list(results.values())) if results else {},
    }


def _pooled(trials: LabelTrials, results: Sequence[Result]) -> dict[str, Any]:
    predictions = [Prediction.kept(result.arrays) for result in results]
    scores = pool(trials.bench.truth, predictions, **_resampling(trials))
    return {name: one.document() if one else None for name, one in scores.items()}


def _comparisons(trials: LabelTrials, found: Found) -> Iterator[Document]:
    """Compare every method with the supervised one at each share, by the seeds that both have."""
    for method in trials.config.chosen_methods:
        for fraction in trials.config.fractions:
            own, base = _of(found, method, fraction), _of(found, SUPERVISED, fraction)
            seeds = [seed for seed in own if seed in base]
            if method == SUPERVISED or not seeds:
                continue
            first, second = (
                [Prediction.kept(side[seed].arrays) for seed in seeds] for side in (own, base)
            )
            scores = contrast(trials.bench.truth, (first, second), **_resampling(trials))
            yield {"first": method, "second": SUPERVISED, "fraction": fraction, "scores": scores}


def _resampling(trials: LabelTrials) -> dict[str, int]:
    return {"seed": trials.config.resample_seed, "resamples": trials.config.resamples}


def _cell(cell: LabelCell, result: Result) -> Document:
    """What the page lists of a cell."""
    told = result.document
    return {
        **cell.document(),
        "train": told["train"],
        "kept_epoch": told["kept_epoch"],
        "epochs": len(told["epochs"]),
        "seconds": told["seconds"],
        "pretext_seconds": sum(one["seconds"] for one in told["pretext"]),
        "notes": [note for one in told["pretext"] for note in one["notes"]],
        "scores": {name: one and one["value"] for name, one in told["scores"].items()},
    }
