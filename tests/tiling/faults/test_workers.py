"""The same bytes from one worker, from two, and from a Dask cluster that was there before."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from tests.tiling.faults.conftest import COPYING, OPTIONS
from tests.tiling.faults.harness import Slides, assert_same, environment, started
from tiling.request import CutOptions
from tiling.tissue import TissueOptions

WAIT_S = 60


@contextlib.contextmanager
def dask(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of Dask's own command line; ended when the block is left."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "dask", *words]
    process = subprocess.Popen(command, env=environment(), **quiet)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `dask scheduler` with two `dask worker` processes on loopback."""
    folder = tmp_path_factory.mktemp("dask")
    file = ["--scheduler-file", str(folder / "scheduler.json")]
    loopback = ["--host", "127.0.0.1"]
    worker = ["worker", *file, *loopback, "--nthreads", "1", "--local-directory", str(folder)]
    with (
        dask("scheduler", *file, *loopback, "--port", "0", "--no-dashboard"),
        dask(*worker, "--no-dashboard"),
        dask(*worker, "--no-dashboard"),
        Client(scheduler_file=file[1], timeout=WAIT_S, set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=WAIT_S)
        yield client.scheduler.address


@pytest.mark.slow
def test_two_workers_write_what_one_does(slides: Slides, reference: Path, tmp_path: Path) -> None:
    with started(tmp_path / "a.zarr", slides, OPTIONS, workers=2) as run:
        assert {o["state"] for o in run.finish()} == {"done"}
    assert_same(tmp_path / "a.zarr", reference)


@pytest.mark.slow
def test_a_dask_cluster_writes_what_one_worker_does(
    scheduler: str, slides: Slides, reference: Path, tmp_path: Path
) -> None:
    with started(tmp_path / "a.zarr", slides, OPTIONS, scheduler=scheduler) as run:
        assert {o["state"] for o in run.finish()} == {"done"}
    assert_same(tmp_path / "a.zarr", reference)


JPEG = CutOptions(
    mpp=0.6, patch_size_px=224, encoding="jpeg:90", tissue=TissueOptions(thumbnail_px=256)
)


@pytest.mark.slow
@pytest.mark.parametrize("options", [COPYING, JPEG], ids=["copies", "jpeg"])
def test_every_encoding_is_the_same_on_every_cluster(
    options: CutOptions, scheduler: str, slides: Slides, tmp_path: Path
) -> None:
    for name, where in {"one": {"workers": 1}, "cluster": {"scheduler": scheduler}}.items():
        with started(tmp_path / name, slides, options, **where) as run:
            assert {o["state"] for o in run.finish()} == {"done"}
    assert_same(tmp_path / "one", tmp_path / "cluster")


@pytest.mark.slow
def test_two_runs_use_one_cluster_at_once(
    scheduler: str, slides: Slides, reference: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zarr"
    with (
        started(archive, slides, OPTIONS, scheduler=scheduler) as one,
        started(archive, slides, OPTIONS, scheduler=scheduler) as other,
    ):
        outcomes = one.finish() + other.finish()
    assert sorted(o["state"] for o in outcomes) == ["done"] * 3 + ["skipped"] * 3
    assert_same(archive, reference)
