"""`microtome pretrain`: train an encoder without labels on the patches of archives."""

import logging
import time
from typing import TYPE_CHECKING, Any

from workflows.errors import UsageError
from workflows.extras import needs
from workflows.outcome import ALL_GOOD, INTERRUPTED, Outcome
from workflows.pretraining.config import PretrainConfig
from workflows.pretraining.folder import RunFolder
from workflows.pretraining.request import job_of, without_effect
from workflows.progress import ProgressCallback, Update
from workflows.training.ranks import is_first
from workflows.version import package_version

if TYPE_CHECKING:
    from workflows.training.spec import Tell

__all__ = ["PretrainConfig", "run"]

log = logging.getLogger(__name__)

ENTRY = "models.ssl.pretraining:run"


def run(config: PretrainConfig, progress: ProgressCallback) -> Outcome:
    """Train, or go on with a run that was stopped, and write its record.

    Raises:
        UsageError: the folder holds something else, or options do not go together.
        DataError: the patches cannot be trained on together.
        EncoderError: there is no such encoder.
        WeightsError: weights are missing or wrong.
        NumericsError: the loss became NaN, or embeddings collapsed; the last state is kept.
    """
    started = time.monotonic()
    _check(config)
    if not is_first():  # torchrun has started several; the first keeps the books
        found = _train(config, lambda _: None)
        return Outcome(found, ALL_GOOD if found["finished"] else INTERRUPTED, told=True)
    folder = RunFolder(config)
    if folder.finished is not None:
        return Outcome(folder.finished | {"skipped": True})
    folder.start(config)
    follower = _Follower(progress, started)
    for text in without_effect(config):
        follower.note(text)
    try:
        found = _train(config, follower.tell)
    finally:
        folder.leave_if_nothing_came_of_it()
    document = _document(config, found, follower.notes, time.monotonic() - started)
    folder.finish(document)
    return Outcome(document, ALL_GOOD if found["finished"] else INTERRUPTED)


def _train(config: PretrainConfig, tell: "Tell") -> dict[str, Any]:
    with needs("models"):
        from workflows.training.launch import run_training
        from workflows.training.spec import Training

        job = job_of(config)
    training = Training(ENTRY, job, job["folder"])
    return run_training(training, scheduler=config.scheduler, processes=config.processes, tell=tell)


def _check(config: PretrainConfig) -> None:
    if config.scheduler is not None and config.processes is not None:
        raise UsageError("--processes is for this machine; on a worker every GPU has its own")
    if config.sampler == "one-slide" and config.pool == "other_slides":
        raise UsageError("--pool other_slides needs several slides in a batch, not one-slide")


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


def _document(
    config: PretrainConfig, found: dict[str, Any], notes: list[str], seconds: float
) -> dict[str, Any]:
    packages = ("microtome", "torch", "timm", "lightning-fabric", "numpy")
    return {
        "out": config.out,
        "config": config.model_dump(mode="json"),
        **found,
        "notes": notes,
        "skipped": False,
        "wall_seconds": round(seconds, 3),
        "versions": {name: package_version(name) for name in packages},
    }
