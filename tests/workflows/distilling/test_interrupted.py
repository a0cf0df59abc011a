"""Distillation that is killed inside a round and between rounds, or done by a worker."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.workflows.conftest import Microtome
from tests.workflows.distilling.conftest import words
from tests.workflows.pretraining.conftest import curve, lines_of
from tests.workflows.pretraining.test_interrupted import process, steps_in
from tests.workflows.training.conftest import Cluster, cluster, one_worker
from workflows.outcome import INTERRUPTED

__all__ = ["cluster", "one_worker"]

STAGES = ("initial", "round-1", "round-2")
OFTEN = ("--checkpoint-minutes", 0, "--epochs", 1, "--correct-steps", 3, "--quiet")
LONG_S = 600
"""For three stages on a busy machine."""


def run_whole(*arguments: str) -> tuple[int, str]:
    with process(*arguments) as started:
        _, err = started.communicate(timeout=LONG_S)
        return started.returncode, err


@pytest.fixture(scope="module")
def undisturbed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    code, err = run_whole("-m", "workflows.cli", *words(cohort, out, *OFTEN))
    assert code == 0, err
    return out


def inside(out: Path) -> bool:
    """After the second correction of round 1, and before its end: it has six steps."""
    return steps_in(out / "round-1") >= 4


def between(out: Path) -> bool:
    return (out / "round-1" / "model.safetensors").is_file()


def same(ours: Path, theirs: Path) -> None:
    for stage in STAGES:
        assert curve(ours / stage) == curve(theirs / stage)
        passes = [lines_of(out / stage, "correction") for out in (ours, theirs)]
        assert passes[0] == passes[1]
        found, known = (load_file(out / stage / "model.safetensors") for out in (ours, theirs))
        assert all(np.array_equal(found[name], known[name]) for name in known)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "number"),
    [(inside, signal.SIGKILL), (between, signal.SIGKILL), (inside, signal.SIGTERM)],
    ids=["kill inside", "kill between", "stop inside"],
)
def test_an_interrupted_run_gives_the_same_weights_in_every_stage(
    cohort: Path,
    tmp_path: Path,
    undisturbed: Path,
    when: Callable[[Path], bool],
    number: signal.Signals,
) -> None:
    out = tmp_path / "run"
    command = ("-m", "workflows.cli", *words(cohort, out, *OFTEN))
    with process(*command) as started:
        until = time.monotonic() + LONG_S
        while not when(out) and started.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        started.send_signal(number)
        started.communicate(timeout=LONG_S)
        assert started.returncode == (-number if number == signal.SIGKILL else INTERRUPTED)
    left = "round-1" if when is inside else "round-2"
    assert not (out / left / "model.safetensors").exists()
    code, err = run_whole(*command)
    assert code == 0, err
    same(out, undisturbed)


@pytest.mark.slow
def test_a_gpu_worker_of_a_cluster_trains_every_stage(
    cohort: Path, tmp_path: Path, undisturbed: Path, one_worker: Cluster, microtome: Microtome
) -> None:
    out = tmp_path / "run"
    ran = microtome(*words(cohort, out, *OFTEN, "--scheduler", one_worker.address, "--json"))
    assert ran.code == 0, ran.err
    assert len(ran.document["stages"]) == len(STAGES)
    # a worker's processes take all cores, the other run one: sums are rounded in another order
    ours, theirs = (curve(run / "initial") for run in (out, undisturbed))
    np.testing.assert_allclose(ours, theirs, rtol=0.05)


@pytest.mark.slow
def test_two_processes_share_every_stage(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, err = run_whole("-m", "workflows.cli", *words(cohort, out, "--processes", 2, *OFTEN))
    assert code == 0, err
    assert (out / "round-2" / "model.safetensors").is_file()
    assert np.isfinite([loss for _, loss in curve(out / "round-2")]).all()
