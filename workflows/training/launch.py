"""The door: run a training where it was asked to run."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from workflows.errors import UsageError
from workflows.extras import needs
from workflows.training.failure import result_of
from workflows.training.interrupts import asking_to_stop
from workflows.training.lock import holding
from workflows.training.processes import Job, run_job
from workflows.training.ranks import count_processes, is_first, under_torchrun
from workflows.training.remote import run_on_worker
from workflows.training.spec import Line, Tell, Training, never


def run_training(
    training: Training, *, scheduler: str | None, processes: int | None, tell: Tell
) -> dict[str, Any]:
    """Run a training to its end; gives the function's result.

    Under torchrun, or for a single process, it runs in this process. Ctrl-C, or the end of this
    process elsewhere, lets it save and stop.

    Args:
        training: what to run.
        scheduler: address of a Dask scheduler: it runs on a worker that has the resource GPU.
        processes: that share it, on this machine or on the worker's; None for one per GPU.
        tell: takes the function's lines, in order and in this thread, and notes of our own
            (`{"kind": "note", "text": …}`). Under torchrun only rank 0 tells.

    Raises:
        UsageError: no scheduler, no worker with a GPU, or another run has the folder.
        MissingExtraError: torch is not installed.
        TrainingError: the function failed elsewhere; errors of this project keep their class.
        KeyboardInterrupt: it was stopped; called again it goes on.
    """
    Path(training.folder).mkdir(parents=True, exist_ok=True)
    if scheduler is not None:
        if under_torchrun():
            raise UsageError("--scheduler: workers start their own processes; leave torchrun out")
        return run_on_worker(training, scheduler, processes, tell)
    if under_torchrun():
        return _run_here(training, tell)
    with needs("models"):
        count = processes or count_processes()
    if count == 1:
        return _run_here(training, tell)
    return result_of(run_job(Job(training, count), tell, never))


def _run_here(training: Training, tell: Tell) -> dict[str, Any]:
    heard = is_first()
    with holding(training, tell) if heard else nullcontext(), asking_to_stop() as stop:
        return training.call(tell if heard else _unheard, stop)


def _unheard(line: Line) -> None:
    del line
