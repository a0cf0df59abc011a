"""`microtome experiment federated`: ways to pretrain over sites, by Dice on few annotations."""

import time

from workflows.experiments.federated_config import FederatedConfig
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, SOME_FAILED, Outcome
from workflows.progress import ProgressCallback

__all__ = ["FederatedConfig", "run"]

NAME = "federated"


def run(config: FederatedConfig, progress: ProgressCallback) -> Outcome:
    """Compute the cells that are missing, then write tables, plot and report.

    Raises:
        UsageError: the folder holds another experiment, or something else.
        DataError: there are too few volumes at a site.
        StoreError: there is no archive.
    """
    started = time.monotonic()
    with needs("models"):
        from workflows.experiments.federated import FREE, FederatedTrials
        from workflows.experiments.federated_tables import (
            csv_rows,
            main_tables,
            page_of,
            summarise,
        )
    from workflows.experiments.cells import CONFIG, CellStore
    from workflows.experiments.loop import run_cells
    from workflows.experiments.outputs import Outputs, write_outputs
    from workflows.experiments.record import identity, machine
    from workflows.reporting.lines import HEIGHT, WIDTH

    trials, store = FederatedTrials.prepare(config), CellStore(config.out)
    store.start(
        config.model_dump(mode="json"),
        identity(config, FREE, trials.fingerprint),
        overwrite=config.overwrite,
    )
    run_cells(trials.cells, store, trials.compute, progress)
    document = {
        "experiment": NAME,
        "config": config.model_dump(mode="json"),
        **summarise(trials, store),
        "out": config.out,
        "command": f"microtome experiment {NAME} {store.folder / CONFIG}",
        "machine": machine(),
        "seconds": round(time.monotonic() - started, 3),
    }
    outputs = Outputs(page_of(document), main_tables(document), csv_rows(document), (WIDTH, HEIGHT))
    told = write_outputs(store, document, outputs)
    return Outcome(told, SOME_FAILED if document["failed"] else ALL_GOOD)
