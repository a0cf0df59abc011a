"""Ready answers in bounded memory, and work that is done once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import BusyError
from service.slides.ready import OVERHEAD_BYTES, OneAtATime, ReadyCache


def test_what_was_used_least_recently_goes_first() -> None:
    cache: ReadyCache[str] = ReadyCache(3 * (10 + OVERHEAD_BYTES))
    for key in "abc":
        cache.put(key, key, 10)
    assert cache.get("a") == "a"
    cache.put("d", "d", 10)
    assert [cache.get(key) for key in "abcd"] == ["a", None, "c", "d"]
    assert cache.bytes == 3 * (10 + OVERHEAD_BYTES)


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    cache: ReadyCache[str] = ReadyCache(1000)
    cache.put("a", "a", 10)
    cache.put("b", "b", 2000)
    assert (cache.get("a"), cache.get("b")) == ("a", None)
    cache.put("a", "new", 2000)
    assert cache.get("a") is None
    assert cache.bytes == 0


def test_the_same_key_counts_once() -> None:
    cache: ReadyCache[int] = ReadyCache(10_000)
    for value in range(50):
        cache.put("a", value, 100)
    assert cache.bytes == 100 + OVERHEAD_BYTES
    assert cache.get("a") == 49


def test_the_bound_holds_among_threads() -> None:
    cache: ReadyCache[int] = ReadyCache(20_000)

    def use(number: int) -> None:
        cache.put(number % 97, number, number % 700)
        cache.get(number % 89)
        assert cache.bytes <= 20_000

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(5000)))
    assert cache.bytes == sum(size for _, size in cache._entries.values())


def test_work_that_many_ask_for_is_done_once() -> None:
    work, go, done = OneAtATime(4, 100), threading.Event(), []

    def make() -> int:
        go.wait(10)
        done.append(1)
        return 7

    futures = [work.submit("key", make) for _ in range(20)]
    go.set()
    assert {future.result(10) for future in futures} == {7}
    assert len(done) == 1
    assert work.submit("key", make).result(10) == 7  # finished, so it is done again
    assert len(done) == 2
    work.close()


def test_more_than_may_wait_is_refused() -> None:
    work, go = OneAtATime(1, 2), threading.Event()
    futures = [work.submit(number, go.wait) for number in range(2)]
    with pytest.raises(BusyError, match="too many"):
        work.submit("another", go.wait)
    assert work.submit(1, go.wait) is futures[1]
    go.set()
    assert all(future.result(10) for future in futures)
    work.close()


def test_an_error_reaches_all_who_asked_and_is_not_kept() -> None:
    work, go = OneAtATime(1, 10), threading.Event()

    def fail() -> int:
        go.wait(10)
        raise ValueError("no")

    futures = [work.submit("key", fail) for _ in range(3)]
    go.set()
    for future in futures:
        with pytest.raises(ValueError, match="no"):
            future.result(10)
    assert work.submit("key", lambda: 1).result(10) == 1
    work.close()
