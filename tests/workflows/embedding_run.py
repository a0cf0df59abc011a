"""An embedding run as a process of its own, which dies at a chosen step.

    python embedding_run.py WHERE ARCHIVE WORD…

WHERE is JSON for `dying.DyingFolder` (key, moment, alone), the words are those of `embed`.
"""

import json
import sys

from tests.tiling.faults.coordinator import die
from workflows import cli

if __name__ == "__main__":
    die(json.loads(sys.argv[1]))
    sys.exit(cli.run(["embed", *sys.argv[2:]]))
