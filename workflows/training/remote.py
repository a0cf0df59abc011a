"""Trains on a GPU worker of a Dask cluster, and follows it from here."""

import json
import queue
import uuid
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from workflows.cluster import starting_client
from workflows.errors import TrainingError, UsageError
from workflows.training.failure import result_of
from workflows.training.spec import Tell, Training, note

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_S = 5.0
"""Without news for so long, look whether there is a worker to train on."""
GOES_ON = "the same command goes on from the last checkpoint"


def run_on_worker(
    training: Training, scheduler: str, processes: int | None, tell: Tell
) -> dict[str, Any]:
    """Train as a task of a cluster. Whatever ends this early cancels the task.

    A worker that dies is replaced by another, or by the next that appears, as often as the
    scheduler allows (Dask's `distributed.scheduler.allowed-failures`, 3 unless set otherwise).

    Raises:
        UsageError: no scheduler answers, or none of its workers has a GPU.
        TrainingError: too many workers were lost, or the training failed.
    """
    with starting_client(None, scheduler) as waiting:
        client = waiting()
        if not gpu_workers(client):
            raise UsageError(
                f"--scheduler: no worker of {scheduler} has a GPU to train on; {_how(scheduler)}"
            )
        return result_of(_Following(client, scheduler, tell).run(training, processes))


def gpu_workers(client: "Client") -> set[str]:
    """Find the addresses of the workers that have a GPU."""
    from models.embedding.setup import GPU

    known = client.scheduler_info(n_workers=-1)["workers"]
    return {address for address, worker in known.items() if worker["resources"].get(GPU)}


def _how(scheduler: str) -> str:
    return f'start one with: dask worker {scheduler} --resources "GPU=1" --nthreads 1'


class _Following:
    """The client's side of one task."""

    def __init__(self, client: "Client", scheduler: str, tell: Tell) -> None:
        self._client, self._scheduler, self._tell = client, scheduler, tell
        self._news: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._worker = self._last_note = ""

    def run(self, training: Training, processes: int | None) -> dict[str, Any]:
        """Submit the task and hand on what it says, in this thread, until it has ended."""
        from models.embedding.setup import GPU
        from workflows.training.task import train

        name = f"microtome-train-{uuid.uuid4().hex}"
        self._client.subscribe_topic(name, lambda event: self._news.put(event[1]))
        future = self._client.submit(
            train, training.document(), processes, name, key=name, resources={GPU: 1}, pure=False
        )
        # events and the end come in one stream, in order, so nothing is behind the end
        future.add_done_callback(lambda _: self._news.put(None))
        try:
            self._listen()
            return _outcome(future)
        finally:
            if not future.done():
                future.cancel()
            self._client.unsubscribe_topic(name)

    def _listen(self) -> None:
        while True:
            try:
                news = self._news.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()
                continue
            if news is None:
                return
            if "began" in news:
                self._begin(news["worker"])
            else:
                self._tell(json.loads(news["line"]))

    def _begin(self, worker: str) -> None:
        if self._worker:
            self._tell(note(f"{self._worker} was lost: training goes on, on {worker}"))
        self._worker, self._last_note = worker, ""

    def _look(self) -> None:
        """Say once why nothing happens."""
        found = gpu_workers(self._client)
        if self._worker in found:
            return
        what = "goes on" if self._worker else "begins"
        text = f"training {what} when a worker with a GPU is free"
        if not found:
            text = f"no worker with a GPU is left: {text}; {_how(self._scheduler)}"
        if text != self._last_note:
            self._tell(note(text))
        self._last_note = text


def _outcome(future: "Future[Any]") -> dict[str, Any]:
    from distributed.scheduler import KilledWorker

    try:
        outcome: dict[str, Any] = future.result()
    except KilledWorker as err:
        lost = f"{err.allowed_failures + 1} workers were lost while they trained"
        raise TrainingError(f"{lost}, the last {err.last_worker.address}; {GOES_ON}") from err
    except CancelledError as err:
        raise TrainingError(f"the Dask scheduler dropped the training: {err}; {GOES_ON}") from err
    except Exception as err:
        kind = type(err).__name__
        raise TrainingError(f"the worker could not begin to train: {kind}: {err}") from err
    return outcome
