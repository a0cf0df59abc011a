"""Token buckets."""

import pytest

from service.wire import buckets
from service.wire.buckets import Buckets


class Clock:
    """Seconds that pass when the test says so."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_bucket_holds_a_minute_and_fills_evenly() -> None:
    clock = Clock()
    filled = Buckets(60, clock)
    assert [filled.take("a") for _ in range(61)] == [0] * 60 + [1]
    clock.at = 1.0
    assert [filled.take("a") for _ in range(2)] == [0, 1]
    clock.at = 1000.0
    assert [filled.take("a") for _ in range(61)] == [0] * 60 + [1]


def test_the_wait_is_as_long_as_it_takes() -> None:
    clock = Clock()
    filled = Buckets(2, clock)
    assert [filled.take("a") for _ in range(3)] == [0, 0, 30]
    clock.at = 29.0
    assert filled.take("a") == 1
    clock.at = 30.0
    assert filled.take("a") == 0


def test_each_caller_has_its_own() -> None:
    filled = Buckets(1, Clock())
    assert [filled.take(name) for name in ("a", "b", "a")] == [0, 0, 60]


def test_memory_is_bounded_and_the_quiet_are_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "MOST_BUCKETS", 100)
    filled = Buckets(1, Clock())
    filled.take("busy")
    for number in range(1000):
        filled.take(str(number))
        filled.take("busy")
    assert len(filled) == 100
    assert filled.take("busy") == 60
