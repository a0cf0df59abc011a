"""One process that does tasks in order, for a run too small to be worth a Dask cluster.

It gives what `tiling.tiler` asks of a Dask client, and like Dask's workers it may die: the task is
then done again by a new one.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, get_context
from typing import Any

from workflows.errors import WorkflowError

TRIES = 4
"""As many as Dask gives a task whose workers die."""


class Task:
    """A task under way, with the names of Dask's futures."""

    def __init__(self, future: "Future[Any]") -> None:
        self._future = future

    @property
    def status(self) -> str:
        """Give pending, finished, error or cancelled."""
        if not self._future.done():
            return "pending"
        if self._future.cancelled():
            return "cancelled"
        return "error" if self._future.exception() else "finished"

    def result(self) -> Any:
        """Wait for what the task gives, or raise what it raised."""
        return self._future.result()

    def exception(self) -> BaseException | None:
        """Wait for what the task raised."""
        return self._future.exception()

    def add_done_callback(self, function: "Callable[[Task], None]") -> None:
        """Call a function with this task when it is done."""
        self._future.add_done_callback(lambda _: function(self))

    def cancel(self) -> None:
        """Leave the task out if it has not begun."""
        self._future.cancel()


class OneProcess:
    """A client of one worker process, started at once."""

    def __init__(self) -> None:
        forkserver.set_forkserver_preload(["workflows.preload_slides"])
        forkserver.ensure_running()  # it imports while this process goes on
        self._process = self._start()
        self._order = ThreadPoolExecutor(1, "task")

    def __enter__(self) -> "OneProcess":
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; tasks that have not begun are left out."""
        self._order.shutdown(cancel_futures=True)
        self._process.shutdown()

    def submit(self, task: Callable[..., Any], *arguments: Any, pure: bool = False) -> Task:
        """Do a task after those before it."""
        del pure
        return Task(self._order.submit(self._do, task, arguments))

    def cancel(self, tasks: Iterable[Task], *, force: bool = False) -> None:
        """Leave out tasks that have not begun."""
        del force
        for task in tasks:
            task.cancel()

    def scheduler_info(self, n_workers: int = -1) -> dict[str, Any]:
        """Count the workers as Dask does."""
        del n_workers
        return {"workers": {0: {}}}

    def _do(self, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        for _ in range(TRIES):
            try:
                return self._process.submit(task, *arguments).result()
            except BrokenProcessPool:
                self._process = self._start()
        raise WorkflowError(
            f"the process died {TRIES} times, by a damaged slide or for want of memory"
        )

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, get_context("forkserver"))
