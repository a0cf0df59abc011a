"""A whole run as a process of its own: what the tests kill, and what runs beside another.

    python coordinator.py <JSON>

The request names `archive`, `slides` (id -> location), `options` (of `CutOptions`), and either
`workers` or `scheduler`; `overwrite` and `die_at` (of `dying`) are optional. Prints "ready"
when the workers are up and the run begins, and at last one JSON line of outcomes.
"""

import json
import sys
from dataclasses import asdict
from typing import Any


def main(request: dict[str, Any]) -> int:
    """Cut what the request asks for; 3 where a slide failed, 2 where nothing could begin."""
    from tiling.errors import TilingError
    from tiling.request import CutOptions, SlideSource
    from tiling.store import Archive
    from tiling.tiler import run
    from tiling.tissue import TissueOptions
    from workflows.cluster import starting_client

    options = dict(request["options"])
    options["tissue"] = TissueOptions(**options["tissue"])
    sources = [SlideSource(name, location) for name, location in request["slides"].items()]
    with starting_client(request.get("workers"), request.get("scheduler")) as waiting:
        client = waiting()
        say("ready")
        if request.get("die_at"):
            die(request["die_at"])
        overwrite = bool(request.get("overwrite"))
        try:
            archive = Archive.create(request["archive"])
            summary = run(sources, CutOptions(**options), archive, client, overwrite=overwrite)
        except TilingError as err:
            sys.stderr.write(f"{type(err).__name__}: {err}\n")
            return 2
    say(json.dumps([asdict(outcome) for outcome in summary.outcomes]))
    return 3 if any(outcome.state == "failed" for outcome in summary.outcomes) else 0


def die(where: dict[str, str]) -> None:
    """Let the archive lie where processes die."""
    from tests.tiling.faults.dying import DyingBucket, DyingFolder
    from tiling import store

    store.open_storage = lambda location: (
        DyingBucket(location, **where) if "://" in location else DyingFolder(location, **where)
    )


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
