"""Errors after a process: ours are what they were, others say where they came from."""

import json
import signal

import pytest

from models.errors import NumericsError
from tiling.errors import StoreError
from workflows.errors import TrainingError, UsageError
from workflows.training.failure import describe, describe_death, rebuild, result_of
from wsi.errors import UnreadableSlideError


@pytest.mark.parametrize(
    "err",
    [
        NumericsError("nan in step 3"),
        StoreError("no space"),
        UsageError("no such label"),
        UnreadableSlideError("empty file"),
    ],
    ids=lambda err: type(err).__name__,
)
def test_our_errors_keep_class_and_message(err: Exception) -> None:
    found = rebuild(json.loads(json.dumps(describe(err))))
    assert type(found) is type(err)
    assert str(found) == str(err)


def test_another_error_tells_its_class_and_the_last_lines_of_its_traceback() -> None:
    try:
        json.loads("{")
    except ValueError as err:
        found = rebuild(describe(err))
    assert type(found) is TrainingError
    first, *rest = str(found).splitlines()
    assert first.startswith("training failed: JSONDecodeError: Expecting property name")
    assert any("in raw_decode" in line for line in rest)
    assert len(rest) <= 20


def test_only_the_last_lines_are_told() -> None:
    stderr = "\n".join(f"line {number}" for number in range(100))
    told = str(rebuild(describe_death(1, stderr))).splitlines()
    assert told[0].endswith("ended with code 1 and without a result")
    assert told[1:] == [f"line {number}" for number in range(80, 100)]


def test_a_kill_is_told_as_such() -> None:
    with pytest.raises(TrainingError, match=r"killed by signal 9 .*want of memory"):
        result_of({"error": describe_death(-signal.SIGKILL, "")})
