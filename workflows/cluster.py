"""The Dask workers of a run: processes on this machine, or a scheduler that is already there."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING

from workflows.errors import UsageError
from workflows.single import OneProcess

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 10
"""How long a scheduler may take to answer."""

log = logging.getLogger(__name__)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def starting_client(
    workers: int | None, scheduler: str | None, *, dashboard: bool = False, small: bool = False
) -> Iterator[Callable[[], "Client"]]:
    """Start workers in the background; what is given waits for them.

    Args:
        workers: processes on this machine, one thread each; None for one per core.
        scheduler: address of a running scheduler to use instead.
        dashboard: serve Dask's pages on loopback.
        small: there is so little to do that one process, without Dask, is done sooner.
    """
    with ExitStack() as stack, ThreadPoolExecutor(1, initializer=_leave_ctrl_c_to_main) as pool:

        def start() -> "Client":
            if scheduler is not None:
                client: Client = stack.enter_context(_connect(scheduler))
                return client
            if small and workers in (None, 1) and not dashboard:
                return stack.enter_context(OneProcess())  # type: ignore[return-value]  # gives what the tiler asks for
            return _start_local(stack, workers or cores(), dashboard=dashboard)

        future = pool.submit(start)
        yield future.result


def _leave_ctrl_c_to_main() -> None:
    # Workers inherit the mask, so Ctrl-C reaches this process alone, which stops them in order. The
    # tracker is started first, for starting it unblocks the signal again (Python 3.11 and later).
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _start_local(stack: ExitStack, workers: int, *, dashboard: bool) -> "Client":
    forkserver.set_forkserver_preload(["workflows.preload"])
    forkserver.ensure_running()  # it imports what workers need while this process does the same
    import dask

    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    if not dashboard:  # no pages, and none of the libraries behind them
        routes: dict[str, list[str]] = {"routes": []}
        dask.config.set({"distributed.scheduler.http": routes, "distributed.worker.http": routes})
    from distributed import Client, LocalCluster, utils

    utils._forkserver_preload_set = True  # Dask would import pandas here, only to preload it
    _hush()
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        scheduler_kwargs={
            "dashboard": dashboard,
            "dashboard_address": f"127.0.0.1:{8787 if dashboard else 0}",
        },
        env=dict(os.environ),  # what they are forked from may have started with another
        memory_limit=0,  # tasks are bounded by design; Dask's limit would pause and kill workers
        silence_logs=logging.CRITICAL,
    )
    stack.enter_context(cluster)
    if dashboard:
        log.warning("Dask's pages are on %s", cluster.dashboard_link)
    client: Client = stack.enter_context(Client(cluster, set_as_default=False))
    return client


def _hush() -> None:
    """Silence Dask, which tells of every connection; what fails comes back as an error."""
    for name in ("distributed", "distributed.client", "distributed.gc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _connect(scheduler: str) -> "Client":
    from distributed import Client

    _hush()
    try:
        client: Client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as err:  # TimeoutError is an OSError
        raise UsageError(f"--scheduler: no Dask scheduler answers at {scheduler}: {err}") from err
    if not client.scheduler_info(n_workers=-1)["workers"]:
        client.close()
        raise UsageError(f"--scheduler: {scheduler} has no workers")
    return client
