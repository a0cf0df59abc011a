"""One run at a time in a folder: a lock that the system drops when its holder dies."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from workflows.errors import UsageError
from workflows.training.spec import Stop, Tell, Training, never, note

LOCK = "training.lock"
POLL_S = 0.1


@contextmanager
def holding(training: Training, tell: Tell, stop: Stop = never) -> Iterator[None]:
    """Have a training's folder to oneself.

    Raises:
        UsageError: another run still has it after the training's `lock_s`, or at `stop()`.
    """
    with (Path(training.folder) / LOCK).open("ab") as file:
        if not _take(file, tell):
            tell(note(f"another run trains in {training.folder}: waiting for its end"))
            _wait(file, training, tell, stop)
        yield


def _wait(file: IO[bytes], training: Training, tell: Tell, stop: Stop) -> None:
    begun = time.monotonic()
    while not _take(file, tell):
        waited_s = time.monotonic() - begun
        if waited_s > training.lock_s or stop():
            raise UsageError(
                f"another run trains in {training.folder}, and still does after {waited_s:.0f} s: "
                "wait for its end, or choose another folder"
            )
        time.sleep(POLL_S)


def _take(file: IO[bytes], tell: Tell) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as err:  # file systems without locks, such as Lustre mounted without flock
        tell(note(f"{file.name} cannot be locked ({err.strerror}): start no second run there"))
    return True
