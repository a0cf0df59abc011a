import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.content.files import MadeFiles
from service.errors import UnavailableError


def write(size: int, count: list[int] | None = None) -> Callable[[Path], None]:
    """Make a function that writes so many bytes, and counts how often."""

    def make(path: Path) -> None:
        if count is not None:
            count.append(1)
        path.write_bytes(os.urandom(size))

    return make


def test_a_file_is_made_once_and_by_one_thread(tmp_path: Path) -> None:
    files, count = MadeFiles(tmp_path), list[int]()

    def slowly(path: Path) -> None:
        time.sleep(0.05)
        write(10, count)(path)

    asked = [threading.Thread(target=files.get, args=(("a",), ".x", slowly)) for _ in range(8)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert len(count) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    files = MadeFiles(tmp_path, limit_bytes=3 * 8192)
    paths = [files.get((name,), ".x", write(8192)) for name in "abc"]
    files.get(("a",), ".x", write(8192))
    last = files.get(("d",), ".x", write(8192))
    assert [path.exists() for path in (*paths, last)] == [True, False, True, True]


def test_what_is_larger_than_the_room_lies_there_alone(tmp_path: Path) -> None:
    files = MadeFiles(tmp_path, limit_bytes=8192)
    files.get(("a",), ".x", write(8192))
    large = files.get(("b",), ".x", write(80_000))
    assert list(tmp_path.iterdir()) == [large]


def test_use_does_not_change_when_a_file_was_made(tmp_path: Path) -> None:
    files = MadeFiles(tmp_path)
    path = files.get(("a",), ".x", write(10))
    os.utime(path, (1_000, 2_000))
    files.get(("a",), ".x", write(10))
    assert path.stat().st_mtime == 2_000
    assert path.stat().st_atime > 2_000


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    files = MadeFiles(tmp_path)
    with pytest.raises(UnavailableError, match="the disk of the service is full"):
        files.get(("a",), ".x", fail)
    assert list(tmp_path.iterdir()) == []
    assert files.get(("a",), ".x", write(3)).exists()


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    old, young = tmp_path / ".unfinished-1-a.x", tmp_path / ".unfinished-2-a.x"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1_000, 1_000))
    MadeFiles(tmp_path).tidy()
    assert list(tmp_path.iterdir()) == [young]
