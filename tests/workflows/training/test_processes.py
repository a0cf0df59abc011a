"""A training in a process of its own: the same result, and an end in every case."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import NumericsError
from tests.tiling.faults.harness import is_running
from tests.workflows.training.functions import saved, steps_done, training
from workflows.errors import TrainingError
from workflows.training.failure import result_of
from workflows.training.launch import run_training
from workflows.training.processes import Job, run_job
from workflows.training.spec import Training

Lines = list[dict[str, Any]]


def run(made: Training, told: Lines | None = None) -> dict[str, Any]:
    lines: Lines = [] if told is None else told
    return result_of(run_job(Job(made, 1), lines.append, lambda: False))


def test_it_gives_and_tells_what_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("here", "there", "elsewhere")]
    for folder in folders:
        folder.mkdir()
    here, there = training("count", folders[0], steps=30), training("count", folders[1], steps=30)
    told: dict[str, Lines] = {"here": [], "there": []}
    result = run_training(here, scheduler=None, processes=1, tell=told["here"].append)
    monkeypatch.chdir(folders[2])  # modules are found from anywhere
    assert run(there, told["there"]) == result
    assert told["here"][0].pop("pid") == os.getpid()
    assert told["there"][0].pop("pid") != os.getpid()
    assert told["here"] == told["there"]
    assert [line["step"] for line in told["here"] if line["kind"] == "step"] == [*range(1, 31)]


def test_it_gets_no_variable_that_it_should_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "FOR_DASK", "FOR_ALL"):
        monkeypatch.setenv(name, "1")
    job = Job(training("environment", tmp_path), 1, unset={"FOR_DASK"})
    found = result_of(run_job(job, lambda _: None, lambda: False))
    assert found["FOR_ALL"] == "1"
    assert not found.keys() & {"RANK", "WORLD_SIZE", "LOCAL_RANK", "FOR_DASK"}


def test_our_errors_come_back_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match="the loss of step 7 is nan"):
        run(training("diverge", tmp_path))


def test_other_errors_tell_where_they_came_from(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"(?s)KeyError: 'no such key'.*in break_down"
    ) as caught:
        run(training("break_down", tmp_path))
    assert isinstance(caught.value, RuntimeError)


def test_a_function_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has no attribute 'no_such_function'"):
        run(training("no_such_function", tmp_path))


def test_a_killed_process_tells_what_it_wrote_last(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"(?s)killed by signal 9.*the last words"):
        run(training("die", tmp_path))


def test_a_process_that_leaves_without_a_result_has_failed(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="ended with code 0 and without a result"):
        run(training("leave", tmp_path))


def test_what_is_stopped_saves_and_goes_on_later(tmp_path: Path) -> None:
    made = training("count", tmp_path, steps=40, pause_s=0.05)
    told: Lines = []
    outcome = run_job(Job(made, 1), told.append, lambda: saved(tmp_path)["step"] >= 3)
    stopped_at = outcome["result"]["step"]
    assert 3 <= stopped_at < 40
    assert told[-1] == {"kind": "end", "step": stopped_at}
    more: Lines = []
    whole = replace(made, arguments={**made.arguments, "pause_s": 0.0})
    (tmp_path / "whole").mkdir()
    undisturbed = run(training("count", tmp_path / "whole", steps=40))
    assert run(whole, more) == undisturbed
    assert more[0]["step"] == stopped_at
    assert [step for step, _ in steps_done(tmp_path)] == [*range(1, 41)]


@pytest.mark.parametrize("deaf", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_what_does_not_stop_is_ended(
    deaf: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.training.processes.TERM_S", 0.2)
    made = replace(training("go_on", tmp_path, deaf=deaf), grace_s=0.2)
    told: Lines = []
    outcome = run_job(Job(made, 1), told.append, lambda: bool(told))
    number = 9 if deaf else 15
    assert f"killed by signal {number}" in outcome["error"]["text"]
    assert not is_running(told[0]["pid"])


def test_a_listener_that_fails_ends_the_process(tmp_path: Path) -> None:
    pids: list[int] = []

    def tell(line: dict[str, Any]) -> None:
        pids.append(line["pid"])
        raise OSError("no space left")

    made = training("count", tmp_path, steps=1000, pause_s=0.05)
    with pytest.raises(OSError, match="no space left"):
        run_job(Job(made, 1), tell, lambda: False)
    assert not is_running(pids[0])
