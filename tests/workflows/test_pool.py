import os

import pytest

from workflows.errors import WorkflowError
from workflows.pool import spread
from workflows.units import duration, plural, short, size


def test_one_worker_is_this_process() -> None:
    assert set(spread(lambda _: os.getpid(), [1, 2], 1)) == {os.getpid()}


def test_several_workers_give_every_result() -> None:
    assert sorted(spread(abs, [-1, 2, -3], 2)) == [1, 2, 3]


def test_a_worker_that_dies_is_told_in_a_sentence() -> None:
    with pytest.raises(WorkflowError, match="a worker process died"):
        list(spread(os._exit, [1, 1], 2))


def test_an_error_of_the_function_comes_through() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(spread(int, ["1", "x"], 2))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (9.4, "9.4 s"), (42, "42 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")],
)
def test_durations_are_told_as_a_person_would(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (12.5e12, "12.5 TB")],
)
def test_sizes_are_told_in_powers_of_ten(count: float, told: str) -> None:
    assert size(count) == told


def test_counts_on_an_axis_are_short() -> None:
    told = [short(count) for count in (0, 0.5, 950, 12_500, 3_000_000, 2e12)]
    assert told == ["0", "0.5", "950", "12.5 k", "3 M", "2000 G"]


def test_plurals() -> None:
    told = [plural(1, "slide"), plural(2, "slide"), plural(1, "patch"), plural(1200, "patch")]
    assert told == ["1 slide", "2 slides", "1 patch", "1,200 patches"]
