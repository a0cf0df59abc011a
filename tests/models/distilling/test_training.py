"""Stages from a job to a model: stopped or broken off anywhere, they end as the undisturbed one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from models.distilling.model import MODEL
from models.distilling.predicting import Predictions
from models.distilling.training import run
from models.errors import DataError, MismatchError
from tests.models.distilling.test_choosing import partial

__all__ = ["partial"]

Lines = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job(archive: Path, folder: Path, number: int, **changes: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    usual: dict[str, Any] = {
        "archives": [str(archive)],
        "folder": str(folder),
        "identity": f"stage {number}",
        "round": number,
        "encoder": "test_resnet",
        "weights": "random:0",
        "input_px": 32,
        "training": {"epochs": 2, "batch": 4, "base_lr": 0.03},
        "settings": {"prototypes": 8, "hidden": 8, "correct_steps": 2, "momentum": 0.9},
        "labelled": 0.34,
        "folds": 2,
        "device": "cpu",
        "save_seconds": 0.0,
        "log_steps": 1,
    }
    return usual | changes


def never() -> bool:
    return False


def after(count: int) -> Callable[[], bool]:
    asked = iter(range(10**6))
    return lambda: next(asked) + 1 >= count


class BrokenOffError(Exception):
    """Stands for the end of the process."""


def breaking_at(step: int, kind: str) -> Callable[[dict[str, Any]], None]:
    def tell(line: dict[str, Any]) -> None:
        if line["kind"] == kind and line["step"] >= step:
            raise BrokenOffError

    return tell


def same(first: Path, second: Path) -> bool:
    ours, theirs = load_file(first / MODEL), load_file(second / MODEL)
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[name], theirs[name]) for name in theirs
    )


@pytest.fixture(scope="module")
def stages(partial: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lines]:
    """The folder of an initial model and one round, undisturbed, and the round's lines."""
    root, lines = tmp_path_factory.mktemp("stages"), Lines()
    assert run(job(partial, root / "0", 0), lambda _: None, never)["finished"]
    start = str(root / "0" / MODEL)
    assert run(job(partial, root / "1", 1, start=start), lines.append, never)["finished"]
    return root, lines


def test_round_1_begins_with_the_initial_student_and_corrects_before_step_0(
    stages: tuple[Path, Lines],
) -> None:
    corrections = [line for line in stages[1] if line["kind"] == "correction"]
    steps = next(line for line in stages[1] if line["kind"] == "start")["steps"]
    assert [line["step"] for line in corrections] == [step + 1 for step in range(0, steps, 2)]
    assert all(np.isfinite(line["loss"]) for line in corrections)
    found = Predictions.load(stages[0] / "1")
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_round_goes_on_to_the_same_weights(
    partial: Path, tmp_path: Path, stages: tuple[Path, Lines], stop: int
) -> None:
    given = job(partial, tmp_path, 1, start=str(stages[0] / "0" / MODEL))
    assert not run(given, lambda _: None, after(stop))["finished"]
    assert not (tmp_path / MODEL).exists()
    told = Lines()
    assert run(given, told.append, never)["finished"]
    assert next(line for line in told if line["kind"] == "start")["step"] == stop
    assert same(tmp_path, stages[0] / "1")


@pytest.mark.parametrize("kind", ["step", "correction"])
def test_a_round_that_breaks_off_goes_on_to_the_same_weights(
    partial: Path, tmp_path: Path, stages: tuple[Path, Lines], kind: str
) -> None:
    given = job(partial, tmp_path, 1, start=str(stages[0] / "0" / MODEL))
    with pytest.raises(BrokenOffError):
        run(given, breaking_at(3, kind), never)
    told = Lines()
    assert run(given, told.append, never)["finished"]
    assert next(line for line in told if line["kind"] == "start")["step"] > 0
    assert same(tmp_path, stages[0] / "1")


def test_what_a_stage_cannot_begin_with_is_refused(
    partial: Path, tmp_path: Path, stages: tuple[Path, Lines]
) -> None:
    with pytest.raises(DataError, match="round 1 begins with a model, and none was given"):
        run(job(partial, tmp_path, 1), lambda _: None, never)
    start = str(stages[0] / "0" / MODEL)
    with pytest.raises(DataError, match="round 3 needs as many folds, and there are 2"):
        run(job(partial, tmp_path, 3, start=start), lambda _: None, never)
    with pytest.raises(MismatchError, match=r"knows a, b \(binary\); the patches have a, b"):
        run(job(partial, tmp_path, 1, start=start, target="exclusive"), lambda _: None, never)
