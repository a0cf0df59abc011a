"""The server of a federated pretraining: rounds over Flower, committed in a folder."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.app import Context, RecordDict

from models.federated.bench import Bench
from models.federated.federation import Federation, RoundReport
from models.federated.plan import Plan
from models.federated.simulation import save_encoder
from models.mil.device import choose_device
from models.training.journal import Journal
from workflows.federating.apps import Patience, server_app
from workflows.federating.link import Door, open_link

log = logging.getLogger(__name__)

ROUND = "round"
"""Kind of the lines of committed rounds."""

Line = dict[str, Any]


def run(
    document: dict[str, Any], tell: Callable[[Line], None], stop: Callable[[], bool]
) -> dict[str, Any]:
    """Do the rounds that are left, with the sites that come; what `workflows.training` calls.

    Args:
        document: `plan`, `folder`, `door`, `keys` by site, and `patience`.
        tell: takes lines of progress.
        stop: is asked by Flower's own signals, not here.

    Returns:
        JSON values as `models.federated.simulation.run` gives them.

    Raises:
        QuorumError: too few sites gave a good answer, as often as was to be tried.
        UsageError: the server cannot listen there.
    """
    del stop
    plan, folder = Plan.of(document["plan"]), Path(document["folder"])
    began, bench = time.monotonic(), Bench(plan, choose_device("cpu"))
    federation = Federation(plan, folder, bench.weights())
    keys = {site: key.encode() for site, key in document["keys"].items()}
    with Journal(folder, federation.round, tensorboard=False) as journal:
        rounds = [line["patches"] for line in journal.lines(ROUND)]
        seen = {site: count for patches in rounds for site, count in patches.items()}

        def write(line: Line) -> None:
            journal.write(line)
            tell(line)

        def told(report: RoundReport, seconds: float) -> None:
            seen.update(report.patches)
            write(_line(report, seconds))

        first = {"kind": "start", "step": federation.round, "steps": plan.rounds}
        write(first | {"epochs": plan.rounds, "batch": plan.batch})
        if not federation.finished:
            with open_link(folder, Door(**document["door"]), keys) as link:
                patience = Patience(**document["patience"])
                app = server_app(federation, link.sites, patience, told)
                app(grid=link.grid, context=Context(0, 0, {}, RecordDict(), {}))
    card = save_encoder(bench, federation.weights, folder, seen)
    return {
        "finished": federation.finished,
        "step": federation.round,
        "steps": plan.rounds,
        "seconds": round(time.monotonic() - began, 3),
        "training": {"epochs": plan.rounds, "batch": plan.batch},
        "device": "cpu",
        "processes": 1,
        "card": card.document(),
        "data": {"patches": sum(seen.values()), "sites": seen},
    }


def _line(report: RoundReport, seconds: float) -> Line:
    """Describe a round; the server sees no loss, so the line has none."""
    return {
        "kind": ROUND,
        "step": report.number + 1,
        "round_seconds": round(seconds, 6),
        **report.document(),
    }
