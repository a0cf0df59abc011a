"""`microtome distill`: few labels, many patches: a student that evolves round after round."""

import time

from workflows.distilling.config import DistillConfig
from workflows.extras import needs
from workflows.outcome import INTERRUPTED, Outcome
from workflows.progress import ProgressCallback

__all__ = ["DistillConfig", "run"]


def run(config: DistillConfig, progress: ProgressCallback) -> Outcome:
    """Train the stages that are not done yet, and score the student of each.

    Raises:
        UsageError: the folder holds something else, or options do not go together.
        LabelsError: there are no labels, or not of two classes.
        DataError: the patches do not fit, or a part of them is empty.
        EncoderError: there is no such encoder, or it cannot take views of such sides.
        WeightsError: weights are missing or wrong.
        NumericsError: the loss became NaN, or embeddings collapsed; the last state is kept.
    """
    started = time.monotonic()
    with needs("models"):
        from workflows.distilling.rounds import Rounds
        from workflows.distilling.summary import summarise
    rounds = Rounds(config, progress)
    rounds.check()
    stages = rounds.run()
    document = {
        "out": config.out,
        "config": config.model_dump(mode="json"),
        "finished": stages[-1].finished,
        "notes": rounds.notes,
    }
    if not stages[-1].finished:
        stopped = {"stage": stages[-1].name, "step": stages[-1].document["step"]}
        return Outcome(document | {"stopped": stopped}, INTERRUPTED)
    document |= summarise(config, stages)
    document["wall_seconds"] = round(time.monotonic() - started, 3)
    from workflows.distilling.page import write_outputs

    document["files"] = write_outputs(config.out, document)
    return Outcome(document)
