"""kill -9 at any moment: what is visible is whole, and the next run ends as if nothing had been."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.tiling.faults.conftest import OPTIONS, Cut
from tests.tiling.faults.harness import (
    Slides,
    assert_committed_is_whole,
    assert_same,
    is_running,
    started,
    wait_until,
)

MOMENTS = 20


@pytest.fixture(scope="module")
def duration(reference: Path, slides: Slides, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds of an undisturbed run, from its first step to its end."""
    with started(tmp_path_factory.mktemp("timed") / "a.zarr", slides, OPTIONS) as run:
        run.wait_until_ready()
        begun = time.monotonic()
        run.finish()
        return time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize("number", range(MOMENTS))
def test_a_killed_run_is_finished_by_the_next(
    number: int, duration: float, slides: Slides, reference: Path, tmp_path: Path, cut: Cut
) -> None:
    archive = tmp_path / "a.zarr"
    moment = (number + random.Random(number).random()) / MOMENTS * duration
    with started(archive, slides, OPTIONS) as run:
        run.wait_until_ready()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(moment)
        run.kill()
    before = assert_committed_is_whole(archive)
    summary = cut(archive, slides)
    skipped = [o.slide_id for o in summary.outcomes if o.state == "skipped"]
    assert sorted(skipped) == before
    assert_same(archive, reference)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_a_run_goes_on_when_a_worker_is_killed(
    number: int, duration: float, slides: Slides, reference: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zarr"
    chance = random.Random(number)
    with started(archive, slides, OPTIONS) as run:
        run.wait_until_ready()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait((number + chance.random()) / 4 * duration)
        workers = run.workers
        if workers:  # none after a run that was quicker than the timed one
            os.kill(chance.choice(workers), signal.SIGKILL)
        assert {outcome["state"] for outcome in run.finish()} == {"done"}
    assert_same(archive, reference)


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_coordinator(
    slides: Slides, reference: Path, tmp_path: Path, cut: Cut
) -> None:
    archive = tmp_path / "a.zarr"
    with started(archive, slides, OPTIONS) as run:
        run.wait_until_ready()
        workers = run.workers
        run.process.kill()
        run.process.wait()
        wait_until(lambda: not any(is_running(pid) for pid in workers))
    assert_committed_is_whole(archive)
    cut(archive, slides)
    assert_same(archive, reference)
