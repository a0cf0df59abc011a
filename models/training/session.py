"""A loop with its journal: what a training tells, and writes into its folder."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.training.fabric import device_name
from models.training.journal import Journal
from models.training.loop import Line, Loop, Stop


class Session:
    """Hands on the lines of one training.

    Args:
        folder: of the run.
        tell: takes lines too.
    """

    def __init__(self, folder: Path, tell: Callable[[Line], None]) -> None:
        self._folder, self._tell = folder, tell
        self._journal: Journal | None = None

    def write(self, line: Line) -> None:
        """Take a line: into the journal, where this process keeps one, and on to who watches."""
        if self._journal is not None:
            self._journal.write(line)
        self._tell(line)

    def run(
        self, loop: Loop, about: Mapping[str, Any], notes: Sequence[str], stop: Stop
    ) -> dict[str, Any]:
        """Train to the end, or until it is asked to stop.

        Args:
            loop: that tells by `write`.
            about: the data, JSON values, for the first line.
            notes: what a person should know.
            stop: asks whether to stop.

        Returns:
            JSON values: `finished`, `step`, `steps`, `seconds`, `training`, `device`, `processes`.
        """
        started = time.monotonic()
        if loop.fabric.is_global_zero:
            self._journal = Journal(self._folder, loop.step)
        settings = loop.settings
        try:
            for text in notes:
                self.write({"kind": "note", "step": loop.step, "text": text})
            first = {"kind": "start", "step": loop.step, "steps": loop.steps}
            self.write(first | {"epochs": settings.epochs, "batch": settings.batch} | dict(about))
            finished = loop.run(stop)
        finally:
            if self._journal is not None:
                self._journal.close()
        return {
            "finished": finished,
            "step": loop.step,
            "steps": loop.steps,
            "seconds": round(time.monotonic() - started, 3),
            "training": {name: getattr(settings, name) for name in settings.__slots__},
            "device": device_name(loop.fabric.device),
            "processes": loop.fabric.world_size,
        }
