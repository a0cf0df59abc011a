"""Ctrl-C and SIGTERM in the process that trains: the first asks it to save and stop."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workflows.training.spec import Stop

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asking_to_stop() -> Iterator[Stop]:
    """Give whether the first signal came; the second one interrupts at once.

    A step that is half done must not be saved, so the training itself chooses the moment. At the
    end the interrupt that was put off is raised. Other threads than the main one get no signals.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        del number, frame
        if asked:
            raise KeyboardInterrupt
        asked = True
        log.warning("saving and stopping after this step; once more stops at once")

    before = [signal.signal(number, ask) for number in SIGNALS]
    try:
        yield lambda: asked
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
