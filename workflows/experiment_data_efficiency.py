"""`microtome experiment data-efficiency`: how little data, which layer, which sampling."""

import time
from typing import TYPE_CHECKING, Any

from workflows.experiments.data_config import DataEfficiencyConfig
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from workflows.experiments.outputs import Outputs

__all__ = ["DataEfficiencyConfig", "run"]

NAME = "data-efficiency"


def run(config: DataEfficiencyConfig, progress: ProgressCallback) -> Outcome:
    """Compute the rows that are missing, seed by seed, then write table, plot and report.

    Raises:
        UsageError: the folder holds another experiment, or something else.
        LabelsError: there are no labels, or a side of the split is empty.
        EncoderError: there is no such encoder, or it lacks a layer.
        WeightsError: weights are missing or wrong.
        StoreError: there is no archive.
    """
    started = time.monotonic()
    with needs("models"):
        from workflows.experiments.data import FREE, DataTrials
        from workflows.experiments.data_summary import summarise
    from workflows.experiments.cells import CONFIG, CellStore
    from workflows.experiments.loop import run_cells
    from workflows.experiments.outputs import write_outputs
    from workflows.experiments.record import identity, machine

    trials, store = DataTrials.prepare(config), CellStore(config.out)
    rows = "".join(judge.fingerprint for judge in trials.judges)
    store.start(
        config.model_dump(mode="json"), identity(config, FREE, rows), overwrite=config.overwrite
    )
    run_cells(trials.cells, store, trials.compute, progress)
    document = {
        "experiment": NAME,
        **trials.judges[0].about(),
        **summarise(trials, store),
        "out": config.out,
        "command": f"microtome experiment {NAME} {store.folder / CONFIG}",
        "machine": machine(),
        "seconds": round(time.monotonic() - started, 3),
    }
    told = write_outputs(store, document, _outputs(document))
    return Outcome(told, SOME_FAILED if document["failed"] else ALL_GOOD)


def _outputs(document: dict[str, Any]) -> "Outputs":
    from workflows.experiments.data_tables import csv_rows, figure, main_tables
    from workflows.experiments.outputs import Outputs, class_table, new_page
    from workflows.reporting.forest import WIDTH, forest_height

    tables = main_tables(document)
    title = f"Data efficiency on {document['name']}"
    page = new_page(title, document, figure(document), [*tables, class_table(document)])
    return Outputs(page, tables, csv_rows(document), (WIDTH, forest_height(len(document["rows"]))))
