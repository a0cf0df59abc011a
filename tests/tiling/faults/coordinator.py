"""A whole run as a process of its own: what the tests kill, and what runs beside another.

    python coordinator.py <JSON>

The request names `archive`, `slides` (id -> location), `options` (of `CutOptions`), and either
`workers` or `scheduler`; `overwrite` and `die_at` are optional. Prints "ready" when the workers are
up and the run begins, and at last one JSON line of outcomes. Not a test; nothing here is mocked.
"""

import json
import sys
from dataclasses import asdict
from typing import Any


def main(request: dict[str, Any]) -> int:
    from tiling.plan import CutOptions, SlideSource
    from tiling.store import Archive
    from tiling.tiler import run
    from tiling.tissue import TissueOptions
    from workflows.cluster import starting_client

    options = dict(request["options"])
    options["tissue"] = TissueOptions(**options.get("tissue", {}))
    sources = [SlideSource(name, location) for name, location in request["slides"].items()]
    with starting_client(request.get("workers"), request.get("scheduler")) as client:
        ready = client()
        say("ready")
        archive = Archive.create(request["archive"])
        if request.get("die_at"):
            from tests.tiling.faults.dying import DyingStorage

            archive = Archive(DyingStorage(request["archive"], **request["die_at"]))
        overwrite = bool(request.get("overwrite"))
        summary = run(sources, CutOptions(**options), archive, ready, overwrite=overwrite)
    say(json.dumps([asdict(outcome) for outcome in summary.outcomes]))
    return 3 if any(outcome.state == "failed" for outcome in summary.outcomes) else 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
