"""Several processes of one training: torchrun's environment, and torchrun itself on loopback."""

import os
import socket
import sys
from typing import Any

from workflows.cluster import cores

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Variables by which a process knows that torchrun started it."""
LOOPBACK = "127.0.0.1"


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return all(name in os.environ for name in TORCHRUN)


def is_first() -> bool:
    """Whether this is rank 0, which alone is heard, or the only process."""
    return int(os.environ["RANK"]) == 0 if under_torchrun() else True


def count_processes() -> int:
    """Count the GPUs that this process may use; 1 where there is none."""
    import torch

    return max(1, torch.cuda.device_count())


def run_ranks(processes: int, module: str, *words: str) -> int:
    """Run a module in several processes on this machine and wait for them; they fail together.

    Gives 0, or the code that the first to fail ended with, negative for a signal.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    store = _serve_on_loopback()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    where = [f"--master-addr={LOOPBACK}", f"--master-port={store.port}"]
    try:
        main(["--nnodes=1", f"--nproc-per-node={processes}", *where, "--module", module, *words])
    except ChildFailedError as err:
        return err.get_first_failure()[1].exitcode
    return 0


def _serve_on_loopback() -> Any:
    """Give the store by which processes find each other; they too are to listen on loopback.

    torchrun's own would listen on every interface and ask for no password. In one process a second
    store at the same port shares the server of the first, so torchrun takes to this one.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is documented there

    interface = "lo0" if sys.platform == "darwin" else "lo"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    listening = socket.create_server((LOOPBACK, 0))
    return TCPStore(
        LOOPBACK,
        listening.getsockname()[1],
        is_master=True,
        wait_for_workers=False,
        multi_tenant=True,
        master_listen_fd=listening.detach(),
    )
