"""One process instead of a cluster: the same bytes, and it may die as Dask's workers may."""

import os
import signal
import time
from pathlib import Path

import pytest

from workflows.config import make_config
from workflows.errors import WorkflowError
from workflows.progress import ignore
from workflows.single import OneProcess
from workflows.tile import TileConfig, run

SLIDE = Path(__file__).parents[1] / "data" / "CMU-1-Small-Region.svs"


def tile(out: Path, **options: object) -> dict[str, bytes]:
    given = {"slides": (str(SLIDE),), "out": str(out), "mpp": "native", "patch_size": 240}
    run(make_config(TileConfig, given | options), ignore)
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in out.rglob("*")
        if file.is_file() and ".microtome" not in file.parts
    }


def test_a_small_slide_gives_the_same_archive_as_two_dask_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert tile(tmp_path / "one.zarr") == tile(tmp_path / "two.zarr", workers=2)


def pid_after(path: str, wait_s: float) -> int:
    Path(path).write_text(str(os.getpid()))
    time.sleep(wait_s if Path(path + ".first").exists() else 0)
    return os.getpid()


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_whose_process_is_killed_is_done_again_by_another(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    (tmp_path / "pid.first").touch()
    with OneProcess() as client:
        task = client.submit(pid_after, str(note), 60.0)
        while not (note.exists() and note.read_text()):
            time.sleep(0.05)
        first = int(note.read_text())
        (tmp_path / "pid.first").unlink()
        os.kill(first, signal.SIGKILL)
        assert task.result() not in (first, os.getpid())
        assert task.status == "finished"


def test_a_task_that_kills_its_process_every_time_fails_and_the_next_one_is_done() -> None:
    with OneProcess() as client:
        failing, next_one = client.submit(die, 1), client.submit(abs, -3)
        assert next_one.result() == 3
        with pytest.raises(WorkflowError, match="died 4 times"):
            failing.result()
        assert failing.status == "error"


def test_tasks_that_have_not_begun_can_be_left_out() -> None:
    with OneProcess() as client:
        first, second = client.submit(time.sleep, 0.5), client.submit(abs, -3)
        client.cancel([second], force=True)
        assert second.status == "cancelled"
        assert first.result() is None
