"""`microtome experiment distillation`: what rounds of distillation bring, and which part does."""

import time
from typing import TYPE_CHECKING, Any

from workflows.experiments.distill_config import DistillationConfig
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from workflows.experiments.outputs import Outputs

__all__ = ["DistillationConfig", "run"]

NAME = "distillation"


def run(config: DistillationConfig, progress: ProgressCallback) -> Outcome:
    """Compute the cells that are missing, seed by seed, then write table, plot and report.

    Raises:
        UsageError: the folder holds another experiment, or something else.
        LabelsError: there are no labels, or a side of the split is empty.
        EncoderError: there is no such encoder.
        WeightsError: weights are missing or wrong.
        StoreError: there is no archive.
    """
    started = time.monotonic()
    with needs("models"):
        from workflows.experiments.bench import Bench
        from workflows.experiments.distill import FREE, DistillTrials
        from workflows.experiments.distill_summary import summarise
        from workflows.experiments.pretext import open_start
    from workflows.experiments.cells import CONFIG, CellStore
    from workflows.experiments.loop import run_cells
    from workflows.experiments.outputs import write_outputs
    from workflows.experiments.record import identity, machine

    bench = Bench.prepare(config)
    trials, store = DistillTrials(bench, config), CellStore(config.out)
    open_start(config, config.encoder, config.seeds[0])
    same = identity(config, FREE, bench.fingerprint)
    store.start(config.model_dump(mode="json"), same, overwrite=config.overwrite)
    run_cells(trials.cells, store, trials.compute, progress)
    document = {
        "experiment": NAME,
        **bench.about(),
        "leaky": bench.leaks,
        **summarise(trials, store),
        "out": config.out,
        "command": f"microtome experiment {NAME} {store.folder / CONFIG}",
        "machine": machine(),
        "seconds": round(time.monotonic() - started, 3),
    }
    told = write_outputs(store, document, _outputs(document))
    return Outcome(told, SOME_FAILED if document["failed"] else ALL_GOOD)


def _outputs(document: dict[str, Any]) -> "Outputs":
    from workflows.experiments.distill_tables import csv_rows, figure, main_tables
    from workflows.experiments.outputs import Outputs, class_table, new_page
    from workflows.reporting.forest import WIDTH, forest_height

    tables = main_tables(document)
    title = f"Distillation on {document['name']}"
    page = new_page(title, document, figure(document), [*tables, class_table(document)])
    return Outputs(page, tables, csv_rows(document), (WIDTH, forest_height(len(document["rows"]))))
