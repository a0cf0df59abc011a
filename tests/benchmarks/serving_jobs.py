"""Jobs over HTTP: how many are taken in a second, and how long a list of 500 takes."""

import http.client
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import slides
from tests.benchmarks.clock import Row, at_most, own_environment

JOBS = 500
CLIENTS = 4
LISTS = 200
PER_S, LIST_MS = 200.0, 50.0
PLACE = "/api/v1/jobs"
SLIDE = Path(__file__).parent.parent / "data" / "CMU-1-Small-Region.svs"


def measure() -> Iterator[Row]:
    """Give the rate of submissions, and the 95th percentile of lists."""
    with _service() as port:
        start = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            done = sum(pool.map(lambda number: _submit(port, number), range(CLIENTS)))
        rate = done / (time.perf_counter() - start)
        assert done == JOBS
        name = f"submit {JOBS} jobs over HTTP, {CLIENTS} clients"
        yield Row(name, rate, "jobs/s", target=f">= {PER_S:g}", met=rate >= PER_S)
        for limit in (50, JOBS):
            name = f"p95 of a list of {limit} of {JOBS} queued jobs"
            yield at_most(name, _p95_ms(port, limit), LIST_MS, "ms")


@contextmanager
def _service() -> Iterator[int]:
    """`microtome serve` on an empty folder, that runs no job; gives its port."""
    root = slides.WORK / "serving-jobs"
    shutil.rmtree(root, ignore_errors=True)
    (root / "slides").mkdir(parents=True)
    shutil.copyfile(SLIDE, root / "slides" / "cmu.svs")
    words = ["--port", "0", "--work", str(root / "work"), "--slides", str(root / "slides")]
    process = subprocess.Popen(
        [sys.executable, "-m", "workflows.cli", "serve", *words, "--jobs", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=own_environment(),
    )
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)$", process.stdout.readline().strip())
        assert found is not None
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()


def _submit(port: int, number: int) -> int:
    """Submit a client's part of the jobs; gives how many were taken."""
    asked = http.client.HTTPConnection("127.0.0.1", port)
    taken = 0
    for count in range(number, JOBS, CLIENTS):
        config = {"slides": ["slides/cmu.svs"], "out": f"job-{count}.zarr", "mpp": 0.5}
        body = json.dumps({"workflow": "tile", "config": config})
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"job-{count}"}
        asked.request("POST", PLACE, body, headers)
        answer = asked.getresponse()
        answer.read()
        taken += answer.status == 202
    return taken


def _p95_ms(port: int, limit: int) -> float:
    asked = http.client.HTTPConnection("127.0.0.1", port)
    waits = []
    for _ in range(LISTS):
        start = time.perf_counter()
        asked.request("GET", f"{PLACE}?limit={limit}")
        answer = asked.getresponse()
        found = json.loads(answer.read())["items"]
        waits.append(1000 * (time.perf_counter() - start))
        assert len(found) == limit
    return sorted(waits)[int(0.95 * LISTS)]
