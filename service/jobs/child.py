"""The process of one job: `python -m service.jobs.child`, started by `service.jobs.process`.

It reads the request from stdin as one line of JSON, and writes lines of JSON to stdout: how far it
is, and at last what became of it. What it logs goes to stderr, as `LEVEL text`.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from typing import IO, Any, NoReturn

from service.jobs.claims import End
from service.jobs.ends import CRASHED, end_of_error, end_of_outcome
from service.jobs.parent import end_with_parent
from service.jobs.scheduler import SchedulerError, ask_scheduler
from workflows.config import make_config
from workflows.progress import Update
from workflows.registry import WORKFLOWS

TELL_S = 0.2
"""Pause between two updates."""
LOOK_S = 5.0
"""Pause between two looks at the scheduler."""
LOOKS = 6
"""Looks without an answer that make a scheduler gone; fewer may be one that is busy."""
GONE = "the scheduler of the cluster is gone"


def main() -> int:
    """Do what the request says; gives the exit code."""
    lines = _Lines(_private_stdout())
    request = json.loads(_first_line())
    signal.signal(signal.SIGTERM, _interrupt)
    end_with_parent()
    _set_up_logging()
    scheduler = _Scheduler(request["config"].get("scheduler"))
    try:
        scheduler.meet()
        threading.Thread(target=scheduler.watch, args=(lines,), daemon=True).start()
        end = _run(request, lines)
    except KeyboardInterrupt:
        end = End("cancelled")
    if end.state == "failed" and scheduler.is_gone():
        end = End("lost", GONE)
    lines.end(end)
    return 0


def _run(request: dict[str, Any], lines: "_Lines") -> End:
    workflow = WORKFLOWS[request["workflow"]]
    try:
        config = make_config(workflow.config_model, request["config"])
        return end_of_outcome(workflow.run(config, lines.update))
    except Exception as err:
        end = end_of_error(err)
        unexpected = end.exit_code == CRASHED
        logging.getLogger(__name__).exception("%s", end.error, exc_info=unexpected)
        return end


class _Lines:
    """Writes lines of JSON; updates not more often than anybody reads them."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._lock = file, threading.Lock()
        self._last, self._ended = 0.0, False

    def update(self, update: Update) -> None:
        """Say how far the workflow is."""
        now, done = time.monotonic(), update.slides_done >= update.slides_total
        if now - self._last >= TELL_S or done:
            self._last = now
            told = {name: getattr(update, name) for name in Update.__slots__}
            self._write({"update": told})

    def end(self, end: End) -> None:
        """Say what became of it, once."""
        told = {name: getattr(end, name) for name in ("state", "error", "exit_code", "document")}
        with self._lock:
            if not self._ended:
                self._ended = True
                self._put({"end": told})

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            if not self._ended:
                self._put(line)

    def _put(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, default=str) + "\n")
        self._file.flush()


class _Scheduler:
    """The scheduler that the job began with, if it uses one."""

    def __init__(self, address: str | None) -> None:
        self._address, self._id = address, ""

    def meet(self) -> None:
        """Remember who it is; the workflow says it better than this where it does not answer."""
        self._id = self._ask()

    def is_gone(self) -> bool:
        """Whether it does not answer any more, or is another one now."""
        return self._address is not None and (not self._id or self._ask() != self._id)

    def watch(self, lines: _Lines) -> None:
        """End the process when the scheduler is gone: some libraries wait for it for ever."""
        if not self._id:
            return
        gone = 0
        while gone < LOOKS:
            time.sleep(LOOK_S)
            gone = gone + 1 if self.is_gone() else 0
        _give_up(lines)

    def _ask(self) -> str:
        if self._address is None:
            return ""
        try:
            return ask_scheduler(self._address).id
        except SchedulerError:
            return ""


def _give_up(lines: _Lines) -> NoReturn:
    lines.end(End("lost", GONE))
    os.killpg(os.getpgrp(), signal.SIGKILL)
    raise SystemExit(1)


def _private_stdout() -> IO[str]:
    """Keep stdout for our lines; what libraries print goes to stderr."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def _first_line() -> bytes:
    """Read one line and not a byte more: the rest of stdin is the sign that the parent lives."""
    read = bytearray()
    while not read.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            raise SystemExit(1)
        read += part
    return bytes(read)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _set_up_logging() -> None:
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s", level="WARNING")
    for chatty in ("distributed", "tornado", "asyncio", "tifffile", "pydicom", "botocore"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
