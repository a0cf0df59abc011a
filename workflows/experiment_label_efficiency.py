"""`microtome experiment label-efficiency`: what labels pretraining saves."""

import time
from typing import TYPE_CHECKING, Any

from workflows.experiments.label_config import LabelEfficiencyConfig
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback

if TYPE_CHECKING:
    from workflows.experiments.outputs import Outputs

__all__ = ["LabelEfficiencyConfig", "run"]

NAME = "label-efficiency"


def run(config: LabelEfficiencyConfig, progress: ProgressCallback) -> Outcome:
    """Compute the cells that are missing, then write table, plot and report.

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
        from workflows.experiments.label import FREE, LabelTrials
        from workflows.experiments.label_summary import summarise
    from workflows.experiments.cells import CONFIG, CellStore
    from workflows.experiments.loop import run_cells
    from workflows.experiments.outputs import write_outputs
    from workflows.experiments.record import identity, machine

    bench = Bench.prepare(config)
    trials, store = LabelTrials(bench, config), CellStore(config.out)
    trials.require_start()
    about = bench.about() | {"leaky": [*bench.leaks, *trials.leaks()]}
    same = identity(config, FREE, bench.fingerprint)
    store.start(about["config"], same, overwrite=config.overwrite)
    run_cells(trials.cells, store, trials.compute, progress)
    document = {
        "experiment": NAME,
        **about,
        **summarise(trials, store),
        "out": config.out,
        "command": f"microtome experiment {NAME} {store.folder / CONFIG}",
        "machine": machine(),
        "seconds": round(time.monotonic() - started, 3),
    }
    told = write_outputs(store, document, _outputs(document))
    return Outcome(told, SOME_FAILED if document["failed"] else ALL_GOOD)


def _outputs(document: dict[str, Any]) -> "Outputs":
    from workflows.experiments.label_tables import (
        csv_rows,
        figure,
        further_tables,
        main_tables,
    )
    from workflows.experiments.outputs import Outputs, new_page
    from workflows.reporting.label_curves import HEIGHT, WIDTH

    tables = main_tables(document)
    title = f"Label efficiency on {document['name']}"
    page = new_page(title, document, figure(document), [*tables, *further_tables(document)])
    return Outputs(page, tables, csv_rows(document), (WIDTH, HEIGHT))
