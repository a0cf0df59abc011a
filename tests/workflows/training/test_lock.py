"""Who trains in a folder has it alone; a process that is gone has it no more."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiling.faults.harness import wait_until
from tests.workflows.training.conftest import started
from tests.workflows.training.functions import training
from workflows.errors import UsageError
from workflows.training.lock import holding


def test_a_second_run_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    made = training("count", tmp_path)
    notes: list[str] = []
    order: list[str] = []

    def follow() -> None:
        with holding(made, lambda line: notes.append(line["text"])):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with holding(made, lambda line: notes.append(line["text"])):
            second = pool.submit(follow)
            wait_until(lambda: bool(notes))
            order.append("first")
        second.result(60)
    assert order == ["first", "second"]
    assert notes == [f"another run trains in {tmp_path}: waiting for its end"]


def test_a_second_run_gives_up_after_a_while(tmp_path: Path) -> None:
    made = replace(training("count", tmp_path), lock_s=0.2)
    with (
        holding(made, lambda _: None),
        pytest.raises(UsageError, match=r"another run trains in .* after 0 s: wait for its end"),
        holding(made, lambda _: None),
    ):
        pass


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    made = replace(training("count", tmp_path), lock_s=1000.0)
    lines: list[object] = []
    with (
        holding(made, lambda _: None),
        pytest.raises(UsageError, match="another run trains in"),
        holding(made, lines.append, lambda: bool(lines)),
    ):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    made = replace(training("go_on", tmp_path), lock_s=0.0)
    with started(made) as run:
        pid = run.wait_for("start")["pid"]
        with pytest.raises(UsageError, match="another run"), holding(made, lambda _: None):
            pass
        os.kill(pid, signal.SIGKILL)
        run.process.wait(60)
        with holding(made, lambda _: None):
            pass
