"""The cluster of the service: the operator's scheduler, or workers of this machine that it starts.

The latter begin with the first job that needs them, and are started anew when they died.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from service.errors import UnavailableError
from service.jobs.scheduler import Known, SchedulerError, ask_scheduler

START_S = 120.0
"""Workers on a slow disk take their time to import what they need."""
STOP_S = 5.0
FRESH_S = 2.0
"""For so long the last answer of the scheduler counts."""
ASK_S = 5.0
"""How long a scheduler may take to answer."""

log = logging.getLogger("microtome.cluster")


class Cluster:
    """The workers that jobs use; safe to share between threads.

    Args:
        scheduler: address of the operator's scheduler; None for workers of this machine.
        workers: how many; None for one per core.
        gpus: how many of them have a GPU; None to look.
    """

    def __init__(
        self, scheduler: str | None, workers: int | None = None, gpus: int | None = None
    ) -> None:
        self._scheduler = scheduler
        self._request = {"workers": workers, "gpus": gpus}
        self._lock = threading.Lock()
        self._own: _Own | None = None
        self._asked: tuple[float, Known | SchedulerError] | None = None
        self._closed = False

    @property
    def is_given(self) -> bool:
        """Whether the scheduler is the operator's."""
        return self._scheduler is not None

    def address(self) -> str:
        """Give the scheduler's address; workers of this machine are started where none live.

        Raises:
            UnavailableError: they do not start, or the service stops.
        """
        if self._scheduler is not None:
            return self._scheduler
        with self._lock:
            if self._closed:
                raise UnavailableError("the service stops")
            if self._own is None or not self._own.is_alive:
                self._own = _Own(self._request)
            own = self._own
        return own.address()

    def check(self) -> None:
        """Make sure that jobs could run.

        Raises:
            UnavailableError: the operator's scheduler does not answer, or has no workers.
        """
        if self._scheduler is None:
            return
        try:
            known = self.ask()
        except SchedulerError as err:
            raise UnavailableError("the scheduler of the cluster does not answer") from err
        if known is None or not known.workers:
            raise UnavailableError("the cluster has no workers")

    def ask(self) -> Known | None:
        """Ask the scheduler about its workers; None where none is running, as none was needed.

        Raises:
            SchedulerError: it does not answer.
        """
        address = self._scheduler or self._living()
        if address is None:
            return None
        at, found = self._asked or (0.0, None)
        if found is None or time.monotonic() - at > FRESH_S:
            try:
                found = ask_scheduler(address, ASK_S)
            except SchedulerError as err:
                found = err
            self._asked = (time.monotonic(), found)
        if isinstance(found, SchedulerError):
            raise found
        return found

    def memory(self) -> dict[str, int]:
        """Give the bytes of memory of each worker, by address; nothing where none answers."""
        try:
            known = self.ask()
        except SchedulerError:
            return {}
        return {} if known is None else dict(known.workers)

    def process_id(self) -> int | None:
        """ID of the process that holds the workers of this machine, if it lives."""
        own = self._own
        return own.process.pid if own is not None and own.process and own.is_alive else None

    def close(self) -> None:
        """Stop the workers of this machine."""
        with self._lock:
            self._closed = True
            if self._own is not None:
                self._own.stop()

    def _living(self) -> str | None:
        own = self._own
        return own.known if own is not None and own.is_alive else None


class _Own:
    """A process with a scheduler and workers."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.known: str | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._ready = threading.Event()
        self._begun = threading.Event()
        # the kernel ends the process with the thread that started it, so that one stays
        threading.Thread(target=self._keep, args=(request,), daemon=True).start()
        self._begun.wait()

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process is not None and self.process.poll() is None

    def address(self) -> str:
        """Wait for the scheduler's address.

        Raises:
            UnavailableError: the process died, or takes too long.
        """
        self._ready.wait(START_S)
        if self.known is None:
            raise UnavailableError("the workers of this machine do not start; the log says why")
        return self.known

    def stop(self) -> None:
        """End it, in order if it can."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        kill_group(self.process)

    def _keep(self, request: dict[str, Any]) -> None:
        try:
            self.process = start_module("service.jobs.cluster", request, stderr=None)
        except OSError as err:
            log.warning("the workers of this machine do not start: %s", err)
            self._ready.set()
            return
        finally:
            self._begun.set()
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # it died before it had said anything
            self.known = json.loads(self.process.stdout.readline())["address"]
            log.info("workers of this machine are up at %s", self.known)
        self._ready.set()
        code = self.process.wait()
        kill_group(self.process)
        log.info("the workers of this machine have ended, exit code %s", code)


def start_module(
    module: str, request: dict[str, Any], *, stderr: int | None, folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Start `python -m module` as a group of its own, and give it the request on stdin.

    Its stdin stays open: it closes when this process ends, which the other one takes as its end.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
        start_new_session=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died at once, as its exit code will say
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    return process


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process, and whatever it started and left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, 9)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
