"""Training in the process that asked for it."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from models.errors import NumericsError
from tests.workflows.training.conftest import started
from tests.workflows.training.functions import count, saved, steps_done, training
from workflows.errors import UsageError
from workflows.training.launch import run_training


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_lets_the_function_save_and_stop(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started(training("count", tmp_path, steps=10_000, pause_s=0.02)) as run:
        assert run.wait_for("start")["pid"] == run.process.pid
        run.wait_for("step")
        run.process.send_signal(number)
        assert run.wait_for("end")["step"] == saved(tmp_path)["step"]
        run.process.communicate()
        assert run.process.returncode == 130


def test_the_second_ctrl_c_ends_a_function_that_does_not_stop(tmp_path: Path) -> None:
    with started(training("go_on", tmp_path)) as run:
        assert run.wait_for("start")["pid"] == run.process.pid
        run.process.send_signal(signal.SIGINT)
        time.sleep(1.0)
        assert run.process.poll() is None
        assert run.end(signal.SIGINT) == 130


def test_a_killed_run_goes_on_from_its_last_step(tmp_path: Path) -> None:
    made = training("count", tmp_path, steps=25, pause_s=0.02)
    with started(made) as run:
        while run.wait_for("step")["step"] < 5:
            pass
        assert run.end(signal.SIGKILL) == -signal.SIGKILL
    resumed = saved(tmp_path)["step"]
    assert 5 <= resumed < 25
    lines: list[dict[str, Any]] = []
    result = run_training(made, scheduler=None, processes=1, tell=lines.append)
    assert lines[0]["step"] == resumed
    (tmp_path / "whole").mkdir()
    arguments = {"folder": str(tmp_path / "whole"), "steps": 25}
    assert result == count(arguments, lines.append, lambda: False)
    assert sorted({step for step, _ in steps_done(tmp_path)}) == [
        step for step, _ in steps_done(tmp_path)
    ]


def test_errors_are_raised_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match="the loss of step 7 is nan"):
        run_training(
            training("diverge", tmp_path), scheduler=None, processes=1, tell=lambda _: None
        )


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, text)


@pytest.mark.usefixtures("second_of_two")
def test_under_torchrun_only_rank_0_is_heard(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    made = training("count", tmp_path, steps=3)
    result = run_training(made, scheduler=None, processes=None, tell=lines.append)
    assert (result["step"], lines) == (3, [])


@pytest.mark.usefixtures("second_of_two")
def test_under_torchrun_there_is_no_scheduler(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="workers start their own processes; leave torchrun out"):
        run_training(
            training("count", tmp_path), scheduler="tcp://x:1", processes=None, tell=lambda _: None
        )
