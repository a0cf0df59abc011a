"""Training on a GPU worker of a real Dask cluster, seen from who asked for it."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from models.errors import NumericsError
from tests.tiling.faults.harness import is_running, wait_until
from tests.workflows.training.conftest import Cluster, started
from tests.workflows.training.functions import saved, steps_done, training
from workflows.errors import TrainingError, UsageError
from workflows.training.launch import run_training
from workflows.training.spec import Training
from workflows.training.task import dask_threads, train

Lines = list[dict[str, Any]]
Train = Callable[..., dict[str, Any]]


@pytest.fixture
def there(one_worker: Cluster) -> Train:
    """Train on the cluster's worker."""

    def run(made: Training, lines: Lines | None = None) -> dict[str, Any]:
        told: Lines = [] if lines is None else lines
        return run_training(made, scheduler=one_worker.address, processes=1, tell=told.append)

    return run


@pytest.mark.slow
def test_a_worker_gives_and_tells_what_this_process_does(tmp_path: Path, there: Train) -> None:
    lines: Lines = []
    result = there(training("count", tmp_path / "there", steps=200), lines)
    assert saved(tmp_path / "there") == result
    told: Lines = []
    here = training("count", tmp_path / "here", steps=200)
    assert run_training(here, scheduler=None, processes=1, tell=told.append) == result
    assert lines[0].pop("pid") != told[0].pop("pid")
    assert lines == told
    assert len(lines) == 202


@pytest.mark.slow
def test_lines_come_while_it_trains(tmp_path: Path, one_worker: Cluster) -> None:
    made = training("count", tmp_path, steps=2000, pause_s=0.05)
    with started(made, scheduler=one_worker.address) as run:
        assert is_running(run.wait_for("start")["pid"])


@pytest.mark.slow
def test_errors_of_a_worker_are_those_of_this_process(tmp_path: Path, there: Train) -> None:
    with pytest.raises(NumericsError, match="the loss of step 7 is nan"):
        there(training("diverge", tmp_path))
    with pytest.raises(TrainingError, match=r"(?s)KeyError: 'no such key'.*in break_down"):
        there(training("break_down", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_without_its_client_it_saves_and_stops_and_the_worker_is_free(
    number: signal.Signals, tmp_path: Path, one_worker: Cluster, there: Train
) -> None:
    made = training("count", tmp_path, steps=2000, pause_s=0.05)
    with started(made, scheduler=one_worker.address) as run:
        pid = run.wait_for("start")["pid"]
        while run.wait_for("step")["step"] < 3:
            pass
        assert run.end(number) == (130 if number == signal.SIGINT else -number)
        wait_until(lambda: not is_running(pid))
    stopped = saved(tmp_path)["step"]
    assert 3 <= stopped < 2000
    lines: Lines = []
    shorter = replace(made, arguments={**made.arguments, "steps": stopped + 5})
    assert there(shorter, lines)["step"] == stopped + 5
    assert (lines[0]["kind"], lines[0]["step"]) == ("start", stopped)
    assert [step for step, _ in steps_done(tmp_path)] == [*range(1, stopped + 6)]


@pytest.mark.slow
def test_a_second_training_waits_for_the_worker(
    tmp_path: Path, one_worker: Cluster, there: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.training.remote.LOOK_S", 0.2)
    lines: Lines = []
    first = training("count", tmp_path / "first", steps=2000, pause_s=0.05)
    second = training("count", tmp_path / "second", steps=3)
    with ThreadPoolExecutor(1) as pool:
        with started(first, scheduler=one_worker.address) as run:
            run.wait_for("start")
            waiting = pool.submit(there, second, lines)
            wait_until(lambda: bool(lines))
        assert waiting.result(120)["step"] == 3
    text = "training begins when a worker with a GPU is free"
    assert lines[0] == {"kind": "note", "text": text}
    assert [line["kind"] for line in lines].count("note") == 1


@pytest.mark.slow
def test_a_folder_that_workers_do_not_see_is_refused(tmp_path: Path, one_worker: Cluster) -> None:
    document = training("count", tmp_path / "missing").document()
    future = one_worker.client.submit(train, document, 1, "topic", resources={"GPU": 1})
    error = future.result(timeout=60)["error"]
    assert (error["module"], error["type"]) == ("workflows.errors", "UsageError")
    assert f"sees no folder {tmp_path / 'missing'}: choose one that all" in error["text"]


def test_training_is_not_held_to_the_one_thread_that_dask_gives_a_task(scheduler: str) -> None:
    with Client(scheduler, set_as_default=False) as client:
        put = client.submit(dask_threads, pure=False).result(timeout=60)
    names = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    assert put == {name for name in names if os.environ.get(name, "1") == "1"}


def test_a_cluster_without_a_gpu_is_refused(tmp_path: Path, scheduler: str) -> None:
    with pytest.raises(UsageError, match=r'dask worker tcp://.* --resources "GPU=1" --nthreads 1'):
        run_training(
            training("count", tmp_path), scheduler=scheduler, processes=1, tell=lambda _: None
        )
