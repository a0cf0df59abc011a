"""The workers of this machine: `python -m service.jobs.cluster`, started by `service.jobs.workers`.

It reads how many from stdin, writes the scheduler's address to stdout, and works until it is told
to stop, or whoever started it dies.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from service.jobs.parent import end_with_parent
from service.jobs.scheduler import GPU
from workflows.cluster import starting_client

DEVICES = ("nvidia[0-9]*", "dxg", "kfd")
"""Files in /dev of machines that may have a GPU; on others torch need not be asked."""


def main() -> int:
    """Work until a signal; gives the exit code."""
    request = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, _interrupt)
    end_with_parent()
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s", level="WARNING")
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # workers keep their files there
        with starting_client(request["workers"], None) as client:
            address = str(client().scheduler_info(n_workers=0)["address"])
            gpus = count_gpus() if request.get("gpus") is None else request["gpus"]
            with _gpu_workers(address, gpus):
                sys.stdout.write(json.dumps({"address": address}) + "\n")
                sys.stdout.flush()
                while True:
                    signal.pause()
    return 0


def count_gpus() -> int:
    """Count the GPUs that torch finds."""
    there = any(any(Path("/dev").glob(pattern)) for pattern in DEVICES)
    if not there or find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count()


@contextlib.contextmanager
def _gpu_workers(scheduler: str, count: int) -> Iterator[None]:
    """Start a worker for each GPU, which takes one task at a time."""
    started = [_start_gpu_worker(scheduler, number) for number in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def _start_gpu_worker(scheduler: str, number: int) -> "subprocess.Popen[bytes]":
    words = ["--nthreads", "1", "--name", f"gpu-{number}", "--resources", f"{GPU}=1"]
    words += ["--memory-limit", "0", "--no-dashboard", "--local-directory", str(Path.cwd())]
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": str(number)},
    )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
