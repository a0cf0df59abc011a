"""A training process: `python -m workflows.training.child FOLDER`, started by `processes`.

It is one of several, or the only one, or starts several and waits for them. It does not outlive
whoever started it: its stdin is a pipe from there, which all have in common.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

from workflows.training.failure import describe, describe_death
from workflows.training.lines import LineWriter
from workflows.training.lock import holding
from workflows.training.ranks import count_processes, is_first, run_ranks, under_torchrun
from workflows.training.spec import Line, Training

REQUEST, LINES, STOP, STDERR = "request.json", "lines.jsonl", "stop", "stderr.txt"
"""Files of the folder: what to do, what is said, whether to stop, and what libraries print."""


def main(folder: Path) -> int:
    """Train as the folder's request says; gives the exit code."""
    _end_with_parent()
    with contextlib.closing(LineWriter(folder / LINES)) as lines:
        try:
            _train(folder, lines)
        except Exception as err:  # noqa: BLE001 - whatever it is, who started this raises it again
            lines.write("error", describe(err))
            return 1
    return 0


def _train(folder: Path, lines: LineWriter) -> None:
    request = json.loads((folder / REQUEST).read_text())
    training = Training(**request["training"])
    if under_torchrun():
        _call(training, folder, lines)
        return
    stop = (folder / STOP).exists
    with holding(training, lambda line: lines.write("line", line), stop):
        processes = request["processes"] or count_processes()
        if processes == 1:
            _call(training, folder, lines)
        elif code := run_ranks(processes, "workflows.training.child", str(folder)):
            stderr = (folder / STDERR).read_text(errors="replace")
            lines.write("error", describe_death(code, stderr))


def _call(training: Training, folder: Path, lines: LineWriter) -> None:
    heard = is_first()

    def tell(line: Line) -> None:
        if heard:
            lines.write("line", line)

    result = training.call(tell, (folder / STOP).exists)
    if heard:
        lines.write("result", result)


def _end_with_parent() -> None:
    """Be killed with whoever started this, even by SIGKILL: the pipe closes with its process."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
