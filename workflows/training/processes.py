"""Starts a training process, hands on what it says, and ends it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.training.child import LINES, REQUEST, STDERR, STOP
from workflows.training.failure import describe_death
from workflows.training.lines import LineReader
from workflows.training.ranks import TORCHRUN
from workflows.training.spec import Stop, Tell, Training

POLL_S = 0.1
TERM_S = 10.0
"""From SIGTERM, which lets torchrun end its processes, to SIGKILL."""


@dataclass(frozen=True)
class Job:
    """A training in a process of its own.

    Attributes:
        training: what is done there.
        processes: that share it; None for one per GPU.
        scratch: folder for what passes between the processes; None for the system's.
        unset: environment variables that it does not get.
    """

    training: Training
    processes: int | None = None
    scratch: str | None = None
    unset: Collection[str] = ()


def run_job(job: Job, tell: Tell, stop: Stop) -> dict[str, Any]:
    """Train in a process of its own; gives `{"result": …}` or `{"error": …}` (`failure`).

    However this ends, the process has ended too. It is asked to stop when `stop()` is true, on
    Ctrl-C, and when `tell` fails.
    """
    with (
        tempfile.TemporaryDirectory(
            prefix="microtome-training-", dir=job.scratch, ignore_cleanup_errors=True
        ) as folder,
        contextlib.closing(_Child(job, Path(folder), tell)) as child,
    ):
        try:
            while not child.has_ended(POLL_S):
                child.forward()
                if stop():
                    child.end()
        except KeyboardInterrupt:
            child.end()
            child.forward()
            raise
        child.forward()
        return child.outcome()


class _Child:
    """A process, and what it has said so far."""

    def __init__(self, job: Job, folder: Path, tell: Tell) -> None:
        self._folder, self._tell, self._grace_s = folder, tell, job.training.grace_s
        self._outcome: dict[str, Any] = {}
        request = {"training": job.training.document(), "processes": job.processes}
        (folder / REQUEST).write_text(json.dumps(request))
        self._lines = LineReader(folder / LINES)
        with (folder / STDERR).open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workflows.training.child", str(folder)],
                stdin=subprocess.PIPE,  # never written to: it closes when this process ends
                stdout=stderr,
                stderr=stderr,
                env=_environment(job.unset),
                start_new_session=True,  # so that a terminal's Ctrl-C leaves it time to save
            )

    def has_ended(self, wait_s: float) -> bool:
        """Wait a while; whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
        return self._process.poll() is not None

    def forward(self) -> None:
        """Hand on what it has said meanwhile."""
        for kind, value in self._lines.read():
            if kind == "line":
                self._tell(value)
            else:
                self._outcome.setdefault(kind, value)  # the first error made the others

    def outcome(self) -> dict[str, Any]:
        """Say what came of it, once it has ended; a result is whole, whatever else went wrong."""
        for kind in ("result", "error"):
            if kind in self._outcome:
                return {kind: self._outcome[kind]}
        stderr = (self._folder / STDERR).read_text(errors="replace")
        return {"error": describe_death(self._process.returncode, stderr)}

    def end(self) -> None:
        """Let it save and return; then less kindly. Ctrl-C meanwhile kills it at once."""
        try:
            (self._folder / STOP).touch()
            if not self.has_ended(self._grace_s):
                self._process.send_signal(signal.SIGTERM)
                self.has_ended(TERM_S)
        finally:
            self._process.kill()
            self._close_pipe()  # torchrun's processes end with it, if they have not
            self._process.wait()

    def close(self) -> None:
        """End it, if it has not ended."""
        self.end()
        self._lines.close()

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def _environment(unset: Collection[str]) -> dict[str, str]:
    """Let it find the same modules, from any folder, and be no rank of whoever starts it."""
    kept = {name: text for name, text in os.environ.items() if name not in {*TORCHRUN, *unset}}
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return kept | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
