"""A training that is asked for by a command: its folder, its progress and its record."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from workflows.errors import UsageError
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, INTERRUPTED, Outcome
from workflows.progress import ProgressCallback, Update
from workflows.training.folder import Kind, RunFolder, TrainConfig
from workflows.training.ranks import is_first
from workflows.training.spec import Tell
from workflows.version import package_version

log = logging.getLogger(__name__)

Job = dict[str, Any]
PACKAGES = ("microtome", "torch", "timm", "lightning-fabric", "numpy")


def train_into_folder(
    config: TrainConfig,
    kind: Kind,
    job_of: Callable[[], Job],
    progress: ProgressCallback,
    *,
    notes: Sequence[str] = (),
    content: str = "",
) -> Outcome:
    """Train, or go on with a run that was stopped, and write its record.

    Args:
        config: of the command.
        kind: of the training.
        job_of: gives what the training takes; it has a `folder`.
        progress: is told of epochs.
        notes: what a person should know before it begins.
        content: hash of what the config only names; a run does not go on with another.

    Raises:
        UsageError: the folder holds something else, or options do not go together.
    """
    started = time.monotonic()
    if config.scheduler is not None and config.processes is not None:
        raise UsageError("--processes is for this machine; on a worker every GPU has its own")
    if not is_first():  # torchrun has started several; the first keeps the books
        found = _train(config, kind, job_of, lambda _: None)
        return Outcome(found, ALL_GOOD if found["finished"] else INTERRUPTED, told=True)
    folder = RunFolder(config, kind, content)
    if folder.finished is not None:
        return Outcome(folder.finished | {"skipped": True})
    folder.start(config)
    follower = _Follower(progress, started)
    for text in notes:
        follower.note(text)
    try:
        found = _train(config, kind, job_of, follower.tell)
    finally:
        folder.leave_if_nothing_came_of_it()
    document = {
        "out": config.out,
        "config": config.model_dump(mode="json"),
        **found,
        "notes": follower.notes,
        "skipped": False,
        "wall_seconds": round(time.monotonic() - started, 3),
        "versions": {name: package_version(name) for name in PACKAGES},
    }
    folder.finish(document)
    return Outcome(document, ALL_GOOD if found["finished"] else INTERRUPTED)


def _train(
    config: TrainConfig, kind: Kind, job_of: Callable[[], Job], tell: Tell
) -> dict[str, Any]:
    with needs("models"):
        from workflows.training.launch import run_training
        from workflows.training.spec import Training

        job = job_of()
    training = Training(kind.entry, job, job["folder"])
    return run_training(training, scheduler=config.scheduler, processes=config.processes, tell=tell)


class _Follower:
    """Turns lines of training into progress."""

    def __init__(self, progress: ProgressCallback, started: float) -> None:
        self._progress, self._started = progress, started
        self._epochs, self._steps, self._batch = 0, 1, 1
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep what a person should know, and say it at once."""
        self.notes.append(text)
        log.warning("%s", text)

    def tell(self, line: dict[str, Any]) -> None:
        """Take a line."""
        if line["kind"] == "note":
            self.note(line["text"])
        if "step" not in line:  # of a worker of the cluster, or of a folder that is taken
            return
        if line["kind"] == "start":
            self._epochs, self._steps, self._batch = line["epochs"], line["steps"], line["batch"]
        self._progress(
            Update(
                slides_total=self._epochs,
                slides_done=line["step"] * self._epochs // self._steps,
                patches_total=self._steps * self._batch,
                patches_done=line["step"] * self._batch,
                elapsed_s=time.monotonic() - self._started,
                noun="epochs",
            )
        )
