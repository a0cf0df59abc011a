"""What a Dask worker does: start training processes, and watch whether it still should."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError
from workflows.training.failure import describe
from workflows.training.processes import Job, run_job
from workflows.training.spec import Line, Training

if TYPE_CHECKING:
    from distributed import Worker

THREADS = "distributed.nanny.pre-spawn-environ"
"""Dask's setting of variables for workers: one thread for OpenMP, as it counts its own threads."""


def train(document: dict[str, Any], processes: int | None, topic: str) -> dict[str, Any]:
    """Train as a task; gives what `run_job` does.

    Args:
        document: of the `Training`.
        processes: None for one per GPU of this worker.
        topic: that events go to: `{"began": True}`, then one `{"line": JSON}` for each line.

    Raises:
        Reschedule: this worker closes; another one goes on.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    watch = _Watch(worker)
    training = Training(**document)
    if not Path(training.folder).is_dir():
        missing = f"worker {worker.address} sees no folder {training.folder}"
        return {"error": describe(UsageError(f"{missing}: choose one that all workers see"))}
    worker.log_event(topic, {"began": True})

    def tell(line: Line) -> None:
        worker.log_event(topic, {"line": json.dumps(line)})

    job = Job(training, processes, worker.local_directory, dask_threads())
    outcome = run_job(job, tell, watch.stop)
    if watch.closing:
        raise Reschedule
    return outcome


class _Watch:
    """Whether this task is still wanted, and wanted here."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._key = worker.get_current_task()
        self.closing = False

    def stop(self) -> bool:
        """Whether to stop: the task was cancelled, its client has gone, or the worker closes."""
        from distributed.core import Status

        self.closing = self._worker.status not in (Status.running, Status.paused)
        task = self._worker.state.tasks.get(self._key)
        return self.closing or task is None or task.state not in ("executing", "long-running")


def dask_threads() -> frozenset[str]:
    """Name the variables that Dask has set: training may use every core."""
    import dask

    put: dict[str, Any] = dask.config.get(THREADS, {})
    threads = {name for name in put if name.endswith("_NUM_THREADS")}
    return frozenset(name for name in threads if os.environ.get(name) == str(put[name]))
