"""Several processes on the CPU, by torchrun and gloo."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from models.errors import NumericsError
from tests.tiling.faults.harness import is_running, wait_until
from tests.workflows.training.conftest import started
from tests.workflows.training.functions import training
from workflows.errors import TrainingError
from workflows.training.launch import run_training


@pytest.mark.slow
def test_two_processes_work_together_and_the_first_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    lines: list[dict[str, Any]] = []
    made = training("add_ranks", tmp_path)
    result = run_training(made, scheduler=None, processes=2, tell=lines.append)
    assert result == {"total": 3.0, "rank": 0}
    assert lines == [{"kind": "rank", "rank": 0}]
    files = [tmp_path / f"rank-{rank}.json" for rank in range(2)]
    ranks = [json.loads(file.read_text()) for file in files]
    assert [rank["total"] for rank in ranks] == [3.0, 3.0]
    assert len({rank["pid"] for rank in ranks} | {os.getpid()}) == 3
    listening = [ip for rank in ranks for ip in rank["listening"]]
    assert listening  # torchrun's store, and gloo
    assert set(listening) == {"127.0.0.1"}


def standing_by(folder: Path) -> list[int]:
    """Wait for both processes, and give their IDs."""
    files = [folder / f"{rank}.pid" for rank in range(2)]
    wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    assert all(is_running(pid) for pid in pids)
    return pids


@pytest.mark.slow
def test_ctrl_c_lets_both_save_and_return(tmp_path: Path) -> None:
    with started(training("stand_by", tmp_path), processes=2) as run:
        pids = standing_by(tmp_path)
        assert run.end(signal.SIGINT) == 130
        assert not any(is_running(pid) for pid in pids)
    assert all((tmp_path / f"{rank}.saved").exists() for rank in range(2))


@pytest.mark.slow
def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    with started(training("stand_by", tmp_path), processes=2) as run:
        pids = standing_by(tmp_path)
        run.end(signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert not any((tmp_path / f"{rank}.saved").exists() for rank in range(2))


@pytest.mark.slow
def test_an_error_of_any_process_ends_all_and_is_raised(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match="the loss of step 7 is nan"):
        run_training(
            training("fail_in_rank_1", tmp_path), scheduler=None, processes=2, tell=lambda _: None
        )


@pytest.mark.slow
def test_the_death_of_any_process_ends_all_and_is_told(tmp_path: Path) -> None:
    made = training("die_in_rank_1", tmp_path)
    with pytest.raises(TrainingError, match=r"(?s)killed by signal 9.*the last words"):
        run_training(made, scheduler=None, processes=2, tell=lambda _: None)
    assert not is_running(int((tmp_path / "0.pid").read_text()))
