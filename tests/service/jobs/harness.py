"""Real processes: the API, a Dask scheduler and its workers, each started again when it dies."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx

from tests.tiling.faults.harness import EPOCH, ROOT
from workflows.serve import PREFIX

PATIENCE_S = 500
"""For what takes seconds on an idle machine; no test waits for it to pass by."""
QUICK = {
    "lease_s": 4.0,
    "poll_s": 0.1,
    "tell_s": 0.1,
    "grace_s": 5.0,
    "closing_s": 3.0,
    "first_wait_s": 0.1,
    "longest_wait_s": 1.0,
}
ENDED = ("succeeded", "failed", "cancelled")


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "SOURCE_DATE_EPOCH": EPOCH,
        "OMP_NUM_THREADS": "1",
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "20s",
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


class Kept:
    """A command that is started again whenever it ends, as an init system does."""

    def __init__(self, words: list[str], log: Path) -> None:
        self._words, self._log = words, log
        self._closing = threading.Event()
        self.starts = 0
        self.process = self._start()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self._closing.set()
        self.process.terminate()
        self._thread.join(30)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def _start(self) -> "subprocess.Popen[str]":
        self.starts += 1
        with self._log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, *self._words],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )

    def _keep(self) -> None:
        while True:
            self.heed(self.process)
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
            if self._closing.is_set():
                return
            self.process = self._start()

    def heed(self, process: "subprocess.Popen[str]") -> None:
        """Take what it writes to stdout."""
        for _ in process.stdout or ():
            pass


class Api(Kept):
    """An API process; `get` and `post` wait until it is there again."""

    def __init__(self, settings: dict[str, Any], log: Path, **timing: float) -> None:
        self.url = ""
        self._client = httpx.Client(timeout=60)
        words = [json.dumps(settings), json.dumps(QUICK | timing)]
        super().__init__(["-m", "tests.service.jobs.api", *words], log)

    def heed(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            self.url = line.strip()
        self.url = ""

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask again until it answers; safe for what is asked here, as submissions have a key."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self.url:
                    return self._client.request(method, self.url + path, **more)
            except httpx.TransportError:
                pass
            assert time.monotonic() < until, "the API does not answer"
            time.sleep(0.1)

    def submit(self, workflow: str, config: dict[str, Any], key: str) -> str:
        body = {"workflow": workflow, "config": config}
        answer = self.ask("POST", "/api/v1/jobs", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/api/v1/jobs/{job_id}")
        assert answer.status_code in (200, 503), answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait(self, job_id: str, *states: str) -> dict[str, Any]:
        """Wait until a job is in one of these states, by default until it has ended."""
        return wait_for(
            lambda: job if (job := self.job(job_id)).get("state") in (states or ENDED) else None
        )

    def close(self) -> None:
        self._client.close()
        super().close()

    def log_of(self, job_id: str) -> list[str]:
        answer = self.ask("GET", f"/api/v1/jobs/{job_id}/log").json()
        return [line["text"] for line in answer["items"]]


class Found(Protocol):
    def __call__(self) -> Any: ...


def wait_for(look: Callable[[], Any]) -> Any:
    """Look until there is something."""
    until = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.2)
    return found


class Cluster:
    """`dask scheduler` and two `dask worker`, on a port that stays."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        host = ["--host", "127.0.0.1", "--no-dashboard"]
        self.scheduler = Kept(
            ["-m", "dask", "scheduler", *host, "--port", str(port)], folder / "scheduler.log"
        )
        place = ["--local-directory", str(folder), "--nthreads", "1", "--no-nanny"]
        more = ["--memory-limit", "0", "--death-timeout", "60"]
        self.workers = [
            Kept(
                ["-m", "dask", "worker", self.address, *host, *place, *more],
                folder / f"worker-{number}.log",
            )
            for number in range(2)
        ]

    def close(self) -> None:
        for one in (*self.workers, self.scheduler):
            one.close()


@contextlib.contextmanager
def api(settings: dict[str, Any], log: Path, **timing: float) -> Iterator[Api]:
    """Run an API; nothing of it is left behind."""
    started = Api(settings, log, **timing)
    try:
        yield started
    finally:
        started.close()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster; nothing of it is left behind."""
    started = Cluster(folder)
    try:
        yield started
    finally:
        started.close()


def job_processes(job_id: str = "") -> list[int]:
    """Process IDs of job children on this machine; with an ID only those of that job."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_child = b"service.jobs.child" in (place / "cmdline").read_bytes()
            if is_child and job_id in str((place / "cwd").readlink()):
                found.append(int(place.name))
    return found
