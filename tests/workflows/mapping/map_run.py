"""A run of `microtome map` as a process of its own, which dies at a chosen step.

    python map_run.py WHERE ARCHIVE WORD…

WHERE is JSON for `dying.DyingFolder` (key, moment, alone), the words are those of `map`. Bands are
so small that a map has several.
"""

import json
import sys

from tests.tiling.faults.coordinator import die
from workflows import cli
from workflows.mapping import segmented

SHARD_BYTES = 40_000

if __name__ == "__main__":
    where = json.loads(sys.argv[1])
    if where:
        die(where)
    segmented.MAP_SHARD_BYTES = SHARD_BYTES
    sys.exit(cli.run(["map", *sys.argv[2:]]))
