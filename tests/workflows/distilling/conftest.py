"""A tiny archive whose classes show in the colour, and short distillations on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.workflows.conftest import Microtome, Ran
from tests.workflows.experiments.conftest import import_cohort

PX = 32
COUNTS = {"train": 12, "test": 4}
PER_PATIENT = 6
TINY: dict[str, object] = {
    "--encoder": "test_resnet",
    "--init": "random",
    "--input-px": PX,
    "--batch": 4,
    "--labelled": 0.34,
    "--folds": 2,
    "--prototypes": 16,
    "--hidden": 16,
    "--correct-steps": 4,
    "--epochs": 2,
    "--resamples": 40,
    "--lr": 2e-3,
    "--device": "cpu",
    "--log-steps": 1,
}
"""Four patients are labelled and eight are not, in two folds of four."""


def words(archive: Path, out: Path, *further: object) -> list[str]:
    """Give the command line; what is given again stands in place of what is usual."""
    usual = [word for name, value in TINY.items() if name not in further for word in (name, value)]
    return [str(word) for word in ("distill", archive, "--out", out, *usual, *further)]


Distill = Callable[..., Ran]


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """With several threads sums are rounded in another order from one process to the next."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patients teach, four test; not to be changed."""
    return import_cohort(tmp_path_factory.mktemp("distilled"), COUNTS)


@pytest.fixture
def distill(microtome: Microtome, cohort: Path) -> Distill:
    """Run `microtome distill` on the archive with a tiny network."""

    def run(out: Path, *further: object) -> Ran:
        return microtome(*words(cohort, out, *further, "--json"))

    return run
