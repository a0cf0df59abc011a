"""A process that does not outlive the one that started it, however that one ends."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
LATE_S = 3.0
"""What the process has left to stop in order, before it is killed with all that it started."""


def end_with_parent(*, late_s: float = LATE_S) -> None:
    """Get SIGTERM when the parent dies, and SIGKILL a moment later, with the process group.

    The kernel sends the first where it can (Linux). Everywhere the parent holds the other end of
    stdin, which closes with it; the process must be a group's leader, and leave stdin alone.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    threading.Thread(target=_wait_for_end, args=(late_s,), daemon=True).start()


def _wait_for_end(late_s: float) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(late_s)
    os.killpg(os.getpgrp(), signal.SIGKILL)
