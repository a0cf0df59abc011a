"""What a distillation says of its stages: scores, and differences to the initial model."""

from collections.abc import Sequence
from typing import Any

from models.distilling.predicting import Predictions
from workflows.distilling.config import DistillConfig
from workflows.distilling.request import MODEL
from workflows.distilling.rounds import Stage
from workflows.distilling.scores import differ, score


def summarise(config: DistillConfig, stages: Sequence[Stage]) -> dict[str, Any]:
    """Give JSON values: the parts of the data, and a line per stage.

    Raises:
        WeightsError: predictions of a stage are not there.
    """
    predicted = [Predictions.load(stage.folder) for stage in stages]
    lines = []
    for stage, found in zip(stages, predicted, strict=True):
        line = _line(stage) | {"scores": score(found, resamples=config.resamples)}
        if stage is not stages[0]:
            line["differences"] = differ(found, predicted[0], resamples=config.resamples)
        lines.append(line)
    last = stages[-1].document
    return {"stages": lines, "parts": last["parts"], "model": str(stages[-1].folder / MODEL)}


def _line(stage: Stage) -> dict[str, Any]:
    document = stage.document
    return {
        "name": stage.name,
        "round": stage.number,
        "folder": str(stage.folder),
        "patches": document["data"]["patches"],
        "steps": document["steps"],
        "epochs": document["training"]["epochs"],
        "seconds": document["seconds"],
        "device": document["device"],
        "skipped": document["skipped"],
        "card": document["card"],
        "differences": {},
    }
