"""`microtome segment run`: from labels of patches to a scored segmenter, and to maps of slides."""

import time

from workflows.outcome import INTERRUPTED, Outcome
from workflows.progress import ProgressCallback
from workflows.segmenting.run_config import SegmentRunConfig

__all__ = ["SegmentRunConfig", "run"]


def run(config: SegmentRunConfig, progress: ProgressCallback) -> Outcome:
    """Do every step that is not done yet, and write the table.

    Raises:
        UsageError: a table holds what its command does not know.
        MicrotomeError: what the commands raise.
    """
    from workflows.segmenting.pipeline import Pipeline
    from workflows.segmenting.table import summarise, write_table

    started = time.monotonic()
    pipeline = Pipeline(config, progress)
    pipeline.check()
    rows = []
    for seed in config.seeds:
        found = pipeline.run(seed)
        if found is None:
            told = {"out": config.out, "finished": False, "rows": []}
            return Outcome(told, INTERRUPTED)
        rows += found
    document = {
        "out": config.out,
        "finished": True,
        "config": config.model_dump(mode="json"),
        **summarise(rows),
        "notes": pipeline.notes,
        "models": pipeline.models,
        "maps": None,
    }
    write_table(config.out, document)  # hours of training are in it, and a map may fail
    document["maps"] = pipeline.map()
    document["notes"] = pipeline.notes
    document["wall_seconds"] = round(time.monotonic() - started, 3)
    document["files"] = write_table(config.out, document)
    return Outcome(document, pipeline.exit_code)
