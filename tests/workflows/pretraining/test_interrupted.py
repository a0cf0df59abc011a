"""Pretraining that is killed, stopped, shared by processes, or done by a worker of a cluster."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.tiling.faults.harness import PATIENCE_S, environment, wait_until
from tests.workflows.conftest import Microtome
from tests.workflows.pretraining.conftest import TINY, curve, lines_of
from tests.workflows.training.conftest import Cluster, cluster, one_worker
from workflows.outcome import INTERRUPTED

__all__ = ["cluster", "one_worker"]

EPOCHS = 8
OFTEN = ("--log-steps", 1, "--checkpoint-minutes", 0)


def words(archive: Path, out: Path, *further: object) -> list[str]:
    given = (
        "pretrain",
        archive,
        "--out",
        out,
        "--method",
        "simclr",
        *TINY,
        "--epochs",
        EPOCHS,
        *further,
    )
    return [str(word) for word in given]


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start Python with these arguments; nothing of it is left behind."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def run_whole(*arguments: str) -> tuple[int, str]:
    with process(*arguments) as started:
        _, err = started.communicate(timeout=PATIENCE_S)
        return started.returncode, err


@pytest.fixture(scope="module")
def undisturbed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    code, err = run_whole("-m", "workflows.cli", *words(archive, out, *OFTEN))
    assert code == 0, err
    return out


def steps_in(folder: Path) -> int:
    return len(curve(folder)) if (folder / "metrics.jsonl").exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_gives_the_same_curve_and_the_same_encoder(
    archive: Path, tmp_path: Path, undisturbed: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    command = ("-m", "workflows.cli", *words(archive, out, *OFTEN))
    with process(*command) as started:
        wait_until(lambda: steps_in(out) >= 7 or started.poll() is not None)
        started.send_signal(number)
        started.communicate(timeout=PATIENCE_S)
        wanted = -number if number == signal.SIGKILL else INTERRUPTED
        assert started.returncode == wanted
    assert not (out / "encoder.safetensors").exists()
    code, err = run_whole(*command)
    assert code == 0, err
    assert lines_of(out, "start")[-1]["step"] > 0
    assert curve(out) == curve(undisturbed)
    ours, theirs = (load_file(run / "encoder.safetensors") for run in (out, undisturbed))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_two_processes_train_one_encoder_and_one_of_them_keeps_the_books(
    archive: Path, tmp_path: Path
) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    by_torchrun = words(archive, tmp_path / "a", "--log-steps", 1)
    code, err = run_whole(*torchrun, "-m", "workflows.cli", *by_torchrun)
    assert code == 0, err
    ours = words(archive, tmp_path / "b", "--log-steps", 1, "--processes", 2)
    code, err = run_whole("-m", "workflows.cli", *ours)
    assert code == 0, err
    assert len(curve(tmp_path / "a")) == 3 * EPOCHS
    np.testing.assert_allclose(curve(tmp_path / "a"), curve(tmp_path / "b"), rtol=1e-4)


@pytest.mark.slow
def test_a_gpu_worker_of_a_cluster_trains_as_this_machine_does(
    archive: Path, tmp_path: Path, undisturbed: Path, one_worker: Cluster, microtome: Microtome
) -> None:
    there = words(archive, tmp_path / "run", *OFTEN, "--scheduler", one_worker.address)
    ran = microtome(*there, "--json")
    assert ran.code == 0, ran.err
    # a worker's processes take all cores, the other run one: sums are rounded in another order
    np.testing.assert_allclose(curve(tmp_path / "run"), curve(undisturbed), rtol=0.02)
    assert (tmp_path / "run" / "report.html").exists()
