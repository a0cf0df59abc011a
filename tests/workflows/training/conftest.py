"""Trainings in processes of their own, and Dask clusters of real processes on loopback."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from tests.tiling.faults.harness import PATIENCE_S, environment, wait_until
from tests.tiling.faults.test_workers import WAIT_S, dask
from workflows.training.spec import Training

SCRIPT = Path(__file__).with_name("training_run.py")


class Run:
    """`run_training` in a process of its own."""

    def __init__(self, training: Training, scheduler: str | None, processes: int) -> None:
        request = {"training": training.document(), "scheduler": scheduler, "processes": processes}
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps(request)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(TMPDIR=training.folder),  # a killed run leaves what it has there
            start_new_session=True,
        )

    def wait_for(self, kind: str) -> dict[str, Any]:
        """Wait for a line of this kind."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line: dict[str, Any] = json.loads(text)
            if line.get("kind") == kind:
                return line
        raise AssertionError(self.process.communicate()[1])

    def end(self, number: signal.Signals) -> int:
        """Send a signal to this process alone, and give its exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


@contextlib.contextmanager
def started(
    training: Training, *, scheduler: str | None = None, processes: int = 1
) -> Iterator[Run]:
    """Start a run; whatever happens, nothing of it is left behind."""
    run = Run(training, scheduler, processes)
    try:
        yield run
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.communicate()


class Cluster:
    """A Dask scheduler, and workers that say that they have a GPU."""

    def __init__(
        self,
        client: Client,
        scheduler: subprocess.Popen[bytes],
        folder: Path,
        stack: contextlib.ExitStack,
    ) -> None:
        self.client, self.scheduler = client, scheduler
        self.address = str(client.scheduler.address)
        self._folder, self._stack = folder, stack
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def have_workers(self, count: int) -> None:
        """Start workers, or kill some, until there are so many."""
        alive = [worker for worker in self._workers.values() if worker.poll() is None]
        for worker in alive[count:]:
            worker.kill()
            worker.wait()
        for _ in range(count - len(alive)):
            self._start_worker()
        wait_until(lambda: len(self._known()) == count)

    def _start_worker(self) -> None:
        name = f"worker-{len(self._workers)}"
        words = ["--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "1"]
        words += ["--local-directory", str(self._folder), "--name", name, "--resources", "GPU=1"]
        self._workers[name] = self._stack.enter_context(dask("worker", self.address, *words))

    def _known(self) -> dict[str, Any]:
        known: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return known

    def busy_worker(self) -> subprocess.Popen[bytes]:
        """Give the process of the worker that trains; there is one."""
        return self._workers[self._known()[self.busy_address()]["name"]]

    def busy_address(self) -> str:
        """Give the address of the worker that trains."""
        (busy,) = [address for address, keys in self.client.processing().items() if keys]
        return str(busy)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler that gives up at the second loss of a worker; there are no workers yet."""
    folder = tmp_path_factory.mktemp("dask")
    file = str(folder / "scheduler.json")
    words = ["--scheduler-file", file, "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
            scheduler = stack.enter_context(dask("scheduler", *words))
        client = Client(scheduler_file=file, timeout=WAIT_S, set_as_default=False)
        stack.enter_context(client)
        yield Cluster(client, scheduler, folder, stack)


@pytest.fixture
def one_worker(cluster: Cluster) -> Cluster:
    """A cluster of one GPU worker."""
    cluster.have_workers(1)
    return cluster
