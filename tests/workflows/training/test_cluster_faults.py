"""Workers that are lost while they train: others go on from the last step, and nothing is left."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tiling.faults.harness import PATIENCE_S, is_running, wait_until
from tests.workflows.training.conftest import Cluster
from tests.workflows.training.functions import count, saved, steps_done, training
from workflows.errors import TrainingError
from workflows.training.launch import run_training
from workflows.training.spec import Training

STEPS = 400

Lines = list[dict[str, Any]]
Ended = Future[dict[str, Any]]


@pytest.fixture
def made(tmp_path: Path) -> Training:
    return training("count", tmp_path / "run", steps=STEPS, pause_s=0.05)


@contextmanager
def running(made: Training, cluster: Cluster, lines: Lines) -> Iterator[Ended]:
    """Train beside the test; left when that has ended."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(
            run_training, made, scheduler=cluster.address, processes=1, tell=lines.append
        )


def of_kind(lines: Lines, kind: str) -> Lines:
    return [line for line in lines if line["kind"] == kind]


def trained(lines: Lines, attempts: int = 1) -> int:
    """Wait until some steps of an attempt are done; its process."""
    wait_until(lambda: len(of_kind(lines, "start")) == attempts)
    start = of_kind(lines, "start")[-1]
    wait_until(lambda: len(lines) >= lines.index(start) + 4)
    pid: int = start["pid"]
    assert is_running(pid)
    return pid


def hurry(made: Training) -> None:
    (Path(made.folder) / "hurry").touch()


def assert_undisturbed(made: Training, result: dict[str, Any], folder: Path) -> None:
    """The same result as if nothing had been, and no step was done twice."""
    folder.mkdir()
    alone = {"folder": str(folder), "steps": STEPS}
    assert result == count(alone, lambda _: None, lambda: False)
    done = [step for step, _ in steps_done(Path(made.folder))]
    assert done == sorted(set(done))
    assert len(done) >= STEPS - 1  # killed between a step and the record of it
    assert len({pid for _, pid in steps_done(Path(made.folder))}) == 2


def kill(cluster: Cluster) -> None:
    cluster.busy_worker().kill()


def terminate(cluster: Cluster) -> None:
    cluster.busy_worker().terminate()


def retire(cluster: Cluster) -> None:
    cluster.client.retire_workers([cluster.busy_address()])


@pytest.mark.slow
@pytest.mark.parametrize("lose", [kill, terminate, retire], ids=lambda lose: lose.__name__)
def test_another_worker_goes_on(
    lose: Callable[[Cluster], None], made: Training, tmp_path: Path, cluster: Cluster
) -> None:
    lines: Lines = []
    cluster.have_workers(2)
    with running(made, cluster, lines) as ended:
        pid = trained(lines)
        lose(cluster)
        hurry(made)
        result = ended.result(PATIENCE_S)
        assert not is_running(pid)
    assert_undisturbed(made, result, tmp_path / "alone")
    begun = of_kind(lines, "start")
    assert begun[0]["step"] == 0
    assert begun[1]["step"] >= 3
    assert begun[1]["pid"] != pid
    (note,) = [line for line in of_kind(lines, "note") if "lost" in line["text"]]
    assert "was lost: training goes on, on tcp://127.0.0.1:" in note["text"]


@pytest.mark.slow
def test_the_next_worker_that_appears_goes_on(
    made: Training, tmp_path: Path, one_worker: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.training.remote.LOOK_S", 0.5)
    lines: Lines = []
    with running(made, one_worker, lines) as ended:
        pid = trained(lines)
        kill(one_worker)
        wait_until(lambda: not is_running(pid))
        wait_until(lambda: bool(of_kind(lines, "note")))
        assert "no worker with a GPU is left: training goes on" in lines[-1]["text"]
        assert f"dask worker {one_worker.address} --resources" in lines[-1]["text"]
        hurry(made)
        one_worker.have_workers(1)
        result = ended.result(PATIENCE_S)
    assert_undisturbed(made, result, tmp_path / "alone")


@pytest.mark.slow
def test_too_many_lost_workers_end_it_and_the_same_command_goes_on(
    made: Training, cluster: Cluster
) -> None:
    lines: Lines = []
    cluster.have_workers(2)
    with running(made, cluster, lines) as ended:
        for losses in (1, 2):
            pid = trained(lines, losses)
            kill(cluster)
        with pytest.raises(TrainingError, match=r"2 workers were lost .* same command goes on"):
            ended.result(PATIENCE_S)
    wait_until(lambda: not is_running(pid))
    lost_at = saved(Path(made.folder))["step"]
    cluster.have_workers(1)
    hurry(made)
    more: Lines = []
    result = run_training(made, scheduler=cluster.address, processes=1, tell=more.append)
    assert result["step"] == STEPS
    assert more[0]["step"] == lost_at


@pytest.mark.slow
def test_without_its_scheduler_it_stops(made: Training, one_worker: Cluster) -> None:
    lines: Lines = []  # the last test here, as there is no scheduler afterwards
    with running(made, one_worker, lines) as ended:
        pid = trained(lines)
        one_worker.scheduler.kill()
        with pytest.raises(TrainingError, match=r"(?s)scheduler dropped .* same command goes on"):
            ended.result(PATIENCE_S)
    wait_until(lambda: not is_running(pid))
    assert saved(Path(made.folder))["step"] < STEPS
