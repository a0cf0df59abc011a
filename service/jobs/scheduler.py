"""What a Dask scheduler says of itself, asked without a client of Dask's."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GPU = "GPU"
"""Resource of workers that have a GPU."""


class SchedulerError(Exception):
    """No scheduler answers."""


@dataclass(frozen=True)
class Known:
    """A scheduler that answers.

    Attributes:
        id: of this scheduler; one that is started anew has another.
        workers: address of each worker, and the bytes of memory that it uses.
        gpus: workers that have a GPU.
    """

    id: str
    workers: Mapping[str, int]
    gpus: int


def ask_scheduler(address: str, timeout_s: float = 5.0) -> Known:
    """Ask a scheduler who it is and who works for it; not to be called in an event loop.

    Raises:
        SchedulerError: none answers.
    """
    try:
        found = asyncio.run(asyncio.wait_for(_ask(address), timeout_s))
    except Exception as err:
        # whatever answers there is no scheduler: connection, protocol, certificates, its version
        raise SchedulerError(f"no Dask scheduler answers at {address}: {err}") from err
    workers = {name: _memory(known) for name, known in found["workers"].items()}
    gpus = sum(1 for known in found["workers"].values() if known["resources"].get(GPU))
    return Known(str(found["id"]), workers, gpus)


async def _ask(address: str) -> dict[str, Any]:
    from distributed.comm.core import connect
    from distributed.security import Security

    comm = await connect(address, **Security().get_connection_args("client"))
    try:
        await comm.write({"op": "identity", "reply": True})
        found: dict[str, Any] = await comm.read()
    finally:
        comm.abort()
    if found.get("type") != "Scheduler":
        raise ConnectionError("it is no scheduler")
    return found


def _memory(known: Mapping[str, Any]) -> int:
    return int(known["metrics"].get("memory") or 0)
