"""A federated round of ten clients in one process: what it costs beyond their own training."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from models.federated.bench import Bench
from models.federated.joining import find_members
from models.federated.plan import Plan
from models.federated.protocol import answer_bytes, order_bytes
from models.federated.simulation import run
from models.mil.device import choose_device
from tests.benchmarks.clock import Row, at_most
from tests.models.federated.small import DEPTH, make_archive

CLIENTS, VOLUMES = 10, 8
MOST_OVERHEAD = 0.10
PLAN = Plan(width=16, side_px=64, rounds=4, batch=32, settings={"features": 512})


def measure() -> Iterator[Row]:
    """Give the share of a round that is not the clients' own work, and the bytes' difference."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = tuple(f"c{number}" for number in range(CLIENTS))
        archive = make_archive(folder, names, VOLUMES)
        told = _rounds(archive, folder / "run")
    overhead = median(one["overhead"] for one in told[1:])
    name = f"federated round of {CLIENTS} clients: time beyond their training, of that"
    yield at_most(name, overhead, MOST_OVERHEAD, "")
    entries, features = VOLUMES * DEPTH, 512
    weights = Bench(PLAN, choose_device("cpu")).weights()
    asked = CLIENTS * order_bytes(weights, [entries] * (CLIENTS - 1), features)
    asked += CLIENTS * answer_bytes(weights, entries, features)
    off = abs(told[-1]["down_bytes"] + told[-1]["up_bytes"] - asked)
    yield at_most("bytes of a round: difference to the protocol's arithmetic", off, 0, "bytes")


def _rounds(archive: Path, folder: Path) -> list[dict[str, Any]]:
    sites = [one.document() for one in find_members([str(archive)], None)]
    document = {"plan": PLAN.document(), "sites": sites, "folder": str(folder), "alone": False}
    run(document | {"device": "auto", "clip": None, "noise": 0.0}, lambda _: None, lambda: False)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [one["metrics"] for one in map(json.loads, lines) if one["kind"] == "step"]
