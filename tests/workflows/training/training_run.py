"""A training as a process of its own, which tests interrupt and kill.

    python training_run.py REQUEST

REQUEST is JSON: `training`, and the other arguments of `run_training`. Prints a JSON line for each
line that is told, and at last the result; ends with 130 after Ctrl-C.
"""

import json
import sys
from typing import Any

from workflows.training.launch import run_training
from workflows.training.spec import Training


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    try:
        say(run_training(Training(**request.pop("training")), tell=say, **request))
    except KeyboardInterrupt:
        sys.exit(130)
